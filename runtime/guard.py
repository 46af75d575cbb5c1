"""What stands before ingestion where a deployment wants it: API keys, and rate limits.

Where nothing is set, `Guard.protect` gives the handler back as it is: a guard that is off costs
nothing. A key comes as `Authorization: Bearer <key>` or as `X-API-Key: <key>`.
"""

import logging
import math
from collections.abc import Iterable
from hashlib import sha256

from runtime.addresses import Addresses, limited_as
from runtime.http.answer import Answer
from runtime.http.errors import INTERNAL_ERROR, error_answer
from runtime.http.routes import HotRequest, HotWrite, Reply
from runtime.limiter import Limiter, Rate, Subject

log = logging.getLogger(__name__)
_REFUSED = error_answer(401, "authorization: an API key is needed")
UNAUTHORIZED = Answer(401, _REFUSED.body, ((b"www-authenticate", b"Bearer"),))


class Guard:
    """Lets requests through to durable writes, or answers 401 or 429.

    `keys` are the API keys that are accepted; with none, nobody needs one. `per_address` and
    `per_key` are the limits; both are optional, and need a limiter. Two doors guarded by the same
    limiter share its limits.
    """

    def __init__(
        self,
        *,
        keys: Iterable[str] = (),
        limiter: Limiter | None = None,
        per_address: Rate | None = None,
        per_key: Rate | None = None,
        addresses: Addresses | None = None,
    ) -> None:
        # Looked up by digest: how long that takes tells nothing about the keys.
        self._digests = {sha256(key.encode()).digest() for key in keys}
        self._limiter = limiter
        self._per_address = per_address
        self._per_key = per_key if self._digests else None
        self._addresses = addresses or Addresses()

    def protect(self, handler: HotWrite) -> HotWrite:
        """The handler with this guard before it."""
        limiter = self._limiter
        if limiter is None or (self._per_address is None and self._per_key is None):
            return self._keyed(handler) if self._digests else handler

        def limited(request: HotRequest, reply: Reply) -> None:
            digest = self._digest(request)
            if digest is None:
                reply(UNAUTHORIZED)
                return

            def decide(wait_s: float) -> None:
                if wait_s:
                    reply(too_many(wait_s))
                else:
                    _go_on(handler, request, reply)

            limiter.ask(self._subjects(request, digest), decide)

        return limited

    def _keyed(self, handler: HotWrite) -> HotWrite:
        def keyed(request: HotRequest, reply: Reply) -> None:
            if self._digest(request) is None:
                reply(UNAUTHORIZED)
            else:
                handler(request, reply)

        return keyed

    def _digest(self, request: HotRequest) -> bytes | None:
        """The digest of the request's key, empty where none is needed; None: it may not pass."""
        if not self._digests:
            return b""
        given = request.header(b"x-api-key")
        if given is None:
            scheme, _, given = (request.header(b"authorization") or b"").partition(b" ")
            if scheme.lower() != b"bearer":
                return None
        digest = sha256(given.strip()).digest()
        return digest if digest in self._digests else None

    def _subjects(self, request: HotRequest, digest: bytes) -> tuple[Subject, ...]:
        subjects: tuple[Subject, ...] = ()
        if self._per_address is not None:
            # A client may send the header itself, on a line of its own before the proxy's.
            lines = [value for name, value in request.headers if name == b"x-forwarded-for"]
            client = self._addresses.client(request.client, b",".join(lines) or None)
            subjects = ((b"address:" + limited_as(client).encode(), self._per_address),)
        if self._per_key is not None:
            subjects += ((b"key:" + digest.hex()[:32].encode(), self._per_key),)
        return subjects


def too_many(wait_s: float) -> Answer:
    """429 with the whole seconds after which it is worth trying again."""
    return error_answer(429, "rate: too many requests", retry_after_s=math.ceil(wait_s))


def _go_on(handler: HotWrite, request: HotRequest, reply: Reply) -> None:
    """Call a handler from where no connection looks after its mistakes."""
    answered = False

    def once(answer: Answer) -> None:
        nonlocal answered
        answered = True
        reply(answer)

    try:
        handler(request, once)
    except Exception:
        log.exception("Exception in hot handler")
        if not answered:
            reply(INTERNAL_ERROR)
