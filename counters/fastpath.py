"""The hot handlers: `POST /increment`, `POST /increment/batch`, `GET /counters` and one counter.

What arrives is decoded and checked once, handed over, and answered when it is safe; nothing here
waits. A body is not asked for its content type: what is no JSON is refused as such.
"""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

import msgspec

from counters.payload import ITEM_BYTES
from counters.queries import InvalidQuestionError, parse_key, parse_keys
from counters.records import (
    Batch,
    InvalidIncrementError,
    Item,
    Keyed,
    decode_batch,
    decode_idempotency_key,
    decode_increment,
)
from runtime.http.answer import Answer
from runtime.http.errors import error_answer
from runtime.http.routes import HotRequest, Reply

# Five times what the largest batch needs when it is written without spaces. Anything longer is
# turned away before the event loop spends its time on reading it.
BODY_BYTES_MAX = 4 * 2**20
ACCEPTED = Answer(200, b"{}")
_NOTHING_TO_DO = Answer(200, b'{"accepted":0}')
_TOO_LARGE = error_answer(413, f"body: is larger than {BODY_BYTES_MAX} bytes")

# Item, its size in bytes, reply, what to reply once the item is safe.
Submit = Callable[[Item, int, Reply, Answer], None]
# Keys to what is known of each counter, in the same order. May wait for a store.
ReadTotals = Callable[[Sequence[UUID]], Sequence[Mapping[str, object]]]
# Runs the work elsewhere than on the event loop, then replies with its answer on it.
HandOver = Callable[[Callable[[], Answer], Reply], None]
_encode = msgspec.json.Encoder().encode


class IncrementDoors:
    """The two hot handlers; `submit` is a group commit's. To be called on its event loop."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit

    def increment(self, request: HotRequest, reply: Reply) -> None:
        """200 `{}` once the increment is safe; 400 that names the field, 413, 503."""
        if len(request.body) > BODY_BYTES_MAX:
            reply(_TOO_LARGE)
            return
        try:
            item = decode_increment(request.body)
            idempotency_key = decode_idempotency_key(request.headers)
        except InvalidIncrementError as error:
            reply(error_answer(400, str(error)))
            return
        if idempotency_key is None:
            self._submit(item, ITEM_BYTES, reply, ACCEPTED)
        else:
            keyed = Keyed(idempotency_key, Batch.of([item]))
            self._submit(keyed, _keyed_bytes(keyed), reply, ACCEPTED)

    def batch(self, request: HotRequest, reply: Reply) -> None:
        """200 `{"accepted": n}` once all increments are safe; 400 that names the first bad one by
        its index from 0, 413, 503, and then none of them counts.
        """
        if len(request.body) > BODY_BYTES_MAX:
            reply(_TOO_LARGE)
            return
        try:
            increments = decode_batch(request.body)
            idempotency_key = decode_idempotency_key(request.headers)
        except InvalidIncrementError as error:
            reply(error_answer(400, str(error)))
            return
        if not increments:
            reply(_NOTHING_TO_DO)
            return
        accepted = Answer(200, b'{"accepted":%d}' % len(increments))
        if idempotency_key is None:
            self._submit(increments, ITEM_BYTES * len(increments), reply, accepted)
        else:
            keyed = Keyed(idempotency_key, increments)
            self._submit(keyed, _keyed_bytes(keyed), reply, accepted)


def _keyed_bytes(keyed: Keyed) -> int:
    return ITEM_BYTES * len(keyed.increments) + len(keyed.idempotency_key)


class TotalsDoor:
    """The hot handlers of totals."""

    def __init__(self, read: ReadTotals, hand_over: HandOver) -> None:
        self._read = read
        self._hand_over = hand_over

    def totals(self, request: HotRequest, reply: Reply) -> None:
        """200 `{"counters": [...]}` in the order asked for; 400 that names the key, 503."""
        try:
            keys = parse_keys(request.query)
        except InvalidQuestionError as error:
            reply(error_answer(400, str(error)))
            return
        self._hand_over(lambda: Answer(200, _encode({"counters": self._read(keys)})), reply)

    def total(self, request: HotRequest, reply: Reply) -> None:
        """200 with the total of the counter that the path names; 400 unless it is a key, 503."""
        try:
            key = parse_key(request.item.decode(errors="replace"))
        except InvalidQuestionError as error:
            reply(error_answer(400, str(error)))
            return
        self._hand_over(lambda: Answer(200, _encode(self._read([key])[0])), reply)
