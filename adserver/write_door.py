"""Writes of ads by API token: from an operator's request to what threads carry out, without Django.
Pure.
"""

import re
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from adserver.records import CONTENT_CHARACTERS_MAX
from runtime.addresses import Addresses
from runtime.http.routes import HotRequest, Reply

# An ad with the longest content in bytes of its own takes less.
BODY_BYTES_MOST = 2 * CONTENT_CHARACTERS_MAX
# As the framework reads it: any other credentials are its business.
_TOKEN = re.compile(rb"Token ([0-9A-Za-z]{1,64})")
# As the framework's paths have it.
AD_ID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class AdWrite(NamedTuple):
    """What somebody sends to be done with an ad, all but the body empty for a new one, the API
    token that they send with it, and from where.
    """

    method: str
    token: str
    body: bytes
    ad_id: UUID | None = None
    address: str = ""


# Carries the write out elsewhere than on the event loop, then replies on it.
HandOver = Callable[[AdWrite, Reply], None]


def is_token(authorization: bytes) -> bool:
    """Whether an `Authorization` header is one that the door reads."""
    return _TOKEN.fullmatch(authorization) is not None


class AdWriteDoor:
    """The hot handler of one method, of requests whose `Authorization` `is_token`; with `of_one`
    the path's item is the ad's id, an `AD_ID`. Runs on the event loop.
    """

    def __init__(
        self, method: str, hand_over: HandOver, addresses: Addresses, *, of_one: bool = False
    ) -> None:
        self._method = method
        self._hand_over = hand_over
        self._addresses = addresses
        self._of_one = of_one

    def __call__(self, request: HotRequest, reply: Reply) -> None:
        """What became of the write, once it is known."""
        ad_id = None
        if self._of_one:
            ad_id = UUID(request.item.decode())
        token = (request.header(b"authorization") or b"").removeprefix(b"Token ").decode()
        forwarded = request.header(b"x-forwarded-for") or None
        address = self._addresses.client(request.client, forwarded)
        self._hand_over(AdWrite(self._method, token, request.body, ad_id, address), reply)
