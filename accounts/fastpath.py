"""`GET /api/v1/users/me`: from a request's headers to the answer's bytes, without Django.

A session that this process knows is answered before the handler returns; any other is looked up in
Redis or PostgreSQL by a thread, and answered when it is found.
"""

from collections.abc import Callable

import msgspec

from accounts.memory import Entry, SessionMemory
from accounts.people import Person
from accounts.tokens import token_hash
from runtime.http.answer import Answer
from runtime.http.errors import error_answer
from runtime.http.routes import HotRequest, Reply

UNAUTHORIZED_MSG = "authorization: the token of a valid session is needed"
_REFUSED = error_answer(401, UNAUTHORIZED_MSG)
UNAUTHORIZED = Answer(401, _REFUSED.body, ((b"www-authenticate", b"Bearer"),))
STORE_AWAY = error_answer(503, "session: cannot be checked just now", retry_after_s=1)
BUSY = error_answer(503, "session: too many are being checked", retry_after_s=1)

# The hash of a token that memory does not know, and what to call with the person, or an answer
# that says why there is none.
Found = Callable[[Person | Answer], None]
LookUp = Callable[[bytes, Found], None]

_SCHEME = b"Bearer "
_encode = msgspec.json.Encoder().encode


def bearer_token(authorization: bytes | None) -> bytes | None:
    """The token in an `Authorization` header; None when there is none of this scheme."""
    if authorization is None:
        return None
    if authorization.startswith(_SCHEME):
        return authorization[7:].strip()
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else None


def me_answer(person: Person) -> Answer:
    """200 with what a person is told about themselves."""
    return Answer(200, _encode(person.shown()))


class MeDoor:
    """The hot handler. Runs on the event loop."""

    def __init__(self, memory: SessionMemory, look_up: LookUp) -> None:
        self._find = memory.find
        self._look_up = look_up

    def __call__(self, request: HotRequest, reply: Reply) -> None:
        """200 with the person, 401 without a valid session, 503 when nobody can tell."""
        token = bearer_token(request.header(b"authorization"))
        if not token:
            reply(UNAUTHORIZED)
            return
        digest = token_hash(token)
        answer = self._known(digest)
        if answer is None:
            self._look_up(digest, lambda found: reply(_answer(found)))
        else:
            reply(answer)

    def at_once(self, token: bytes) -> Answer | None:
        """What the bearer of this token is answered, if this process knows the session."""
        return self._known(token_hash(token))

    def _known(self, digest: bytes) -> Answer | None:
        entry = self._find(digest)
        if entry is None:
            return None
        me: Answer | None = entry.me
        return me or _first_answer(entry)


def _first_answer(entry: Entry) -> Answer:
    entry.me = answer = me_answer(entry.person)
    return answer


def _answer(found: Person | Answer) -> Answer:
    return found if isinstance(found, Answer) else me_answer(found)
