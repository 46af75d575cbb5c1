"""`POST /api/v1/ad`: from an operator's request to what threads create, without Django. Pure."""

import re
from collections.abc import Callable
from typing import NamedTuple

from adserver.records import CONTENT_CHARACTERS_MAX
from runtime.addresses import Addresses
from runtime.http.routes import HotRequest, Reply

# An ad with the longest content in bytes of its own takes less.
BODY_BYTES_MOST = 2 * CONTENT_CHARACTERS_MAX
# As the framework reads it: any other credentials are its business.
_TOKEN = re.compile(rb"Token ([0-9A-Za-z]{1,64})")


class AdWrite(NamedTuple):
    """An ad as somebody sends it, the API token that they send with it, and from where."""

    token: str
    body: bytes
    address: str = ""


# Carries the write out elsewhere than on the event loop, then replies on it.
HandOver = Callable[[AdWrite, Reply], None]


def is_token(authorization: bytes) -> bool:
    """Whether an `Authorization` header is one that the door reads."""
    return _TOKEN.fullmatch(authorization) is not None


class AdWriteDoor:
    """The hot handler, of requests whose `Authorization` `is_token`. Runs on the event loop."""

    def __init__(self, hand_over: HandOver, addresses: Addresses) -> None:
        self._hand_over = hand_over
        self._addresses = addresses

    def __call__(self, request: HotRequest, reply: Reply) -> None:
        """What became of the write, once it is known."""
        token = (request.header(b"authorization") or b"").removeprefix(b"Token ").decode()
        forwarded = request.header(b"x-forwarded-for") or None
        address = self._addresses.client(request.client, forwarded)
        self._hand_over(AdWrite(token, request.body, address), reply)
