"""`POST /api/v1/users/login`: from a request's bytes to a login that threads carry out, without
Django. Pure.
"""

from collections.abc import Callable
from typing import NamedTuple

from accounts.errors import InvalidFieldError
from accounts.fields import text_of
from runtime.addresses import Addresses
from runtime.http.errors import error_answer
from runtime.http.routes import HotRequest, Reply
from runtime.strict_json import InvalidBodyError, decode_json

# Ten times what the longest name and password take. The event loop reads no more than this.
BODY_BYTES_MOST = 8_192


class Login(NamedTuple):
    """Who somebody says to be, on which device, from where."""

    username: str
    password: str
    device: str
    address: str


# Carries the login out elsewhere than on the event loop, then replies on it.
HandOver = Callable[[Login, Reply], None]


class LoginDoor:
    """The hot handler. Runs on the event loop."""

    def __init__(self, hand_over: HandOver, addresses: Addresses) -> None:
        self._hand_over = hand_over
        self._addresses = addresses

    def __call__(self, request: HotRequest, reply: Reply) -> None:
        """What became of the login, once it is known; 400 that names the field."""
        try:
            # An empty body is an object without fields, as for the framework.
            body = decode_json(request.body) if request.body else {}
            username, password = text_of(body, "username"), text_of(body, "password")
        except (InvalidBodyError, InvalidFieldError) as error:
            reply(error_answer(400, str(error)))
            return
        device = request.header(b"user-agent") or b""
        forwarded = request.header(b"x-forwarded-for") or None
        address = self._addresses.client(request.client, forwarded)
        self._hand_over(Login(username, password, device.decode("latin-1"), address), reply)
