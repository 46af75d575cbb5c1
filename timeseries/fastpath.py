"""`POST /save` and `POST /save/batch`: from the body's bytes to the group commit.

What arrives is decoded and checked once, handed over, and answered when it is safe; nothing here
waits. A body is not asked for its content type: what is no JSON is refused as such.
"""

from collections.abc import Callable, Sequence

from runtime.http.answer import Answer
from runtime.http.errors import error_answer
from runtime.http.routes import HotRequest, Reply
from timeseries.messages import Acceptance, InvalidMessageError
from timeseries.records import Measurement, encode

# Beyond the longest message and the largest batch that anybody writes: 64 numbers of 25 characters
# each, ten thousand times. What is longer is turned away before the event loop has to read it.
MESSAGE_BYTES_MAX = 64 * 1024
BATCH_BYTES_MAX = 20 * 2**20
# What a row takes in the stream beside its values: its time, its tag's place, their number.
_ROW_BYTES = 13
_VALUE_BYTES = 8
SAVED = Answer(200, b"{}")
_NOTHING_TO_DO = Answer(200, b'{"accepted":0}')
_MESSAGE_TOO_LARGE = error_answer(413, f"body: is larger than {MESSAGE_BYTES_MAX} bytes")
_BATCH_TOO_LARGE = error_answer(413, f"body: is larger than {BATCH_BYTES_MAX} bytes")

# What a door hands to the group commit: one measurement, or a batch.
Item = Measurement | list[Measurement]
# Item, its size in bytes, reply, what to reply once the item is safe.
Submit = Callable[[Item, int, Reply, Answer], None]


class SaveDoors:
    """The two hot handlers; `submit` is a group commit's. To be called on its event loop."""

    def __init__(self, submit: Submit, acceptance: Acceptance) -> None:
        self._submit = submit
        self._acceptance = acceptance

    def save(self, request: HotRequest, reply: Reply) -> None:
        """200 `{}` once the measurement is safe; 400 that names the field, 413, 503."""
        body = request.body
        if len(body) > MESSAGE_BYTES_MAX:
            reply(_MESSAGE_TOO_LARGE)
            return
        try:
            measurement = self._acceptance.message(body)
        except InvalidMessageError as error:
            reply(error_answer(400, str(error)))
            return
        size_bytes = _ROW_BYTES + _VALUE_BYTES * len(measurement.values)
        self._submit(measurement, size_bytes, reply, SAVED)

    def batch(self, request: HotRequest, reply: Reply) -> None:
        """200 `{"accepted": n}` once all measurements are safe; 400 that names the first bad one
        by its index from 0, 413, 503, and then none of them is kept.
        """
        if len(request.body) > BATCH_BYTES_MAX:
            reply(_BATCH_TOO_LARGE)
            return
        try:
            batch = self._acceptance.batch(request.body)
        except InvalidMessageError as error:
            reply(error_answer(400, str(error)))
            return
        if not batch:
            reply(_NOTHING_TO_DO)
            return
        values = sum([len(measurement.values) for measurement in batch])
        size_bytes = _ROW_BYTES * len(batch) + _VALUE_BYTES * values
        self._submit(batch, size_bytes, reply, Answer(200, b'{"accepted":%d}' % len(batch)))


def encode_items(items: Sequence[Item]) -> bytes:
    """The payload of one stream entry: all measurements in the order of their arrival."""
    rows: list[Measurement] = []
    for item in items:
        if isinstance(item, list):
            rows += item
        else:
            rows.append(item)
    return encode(rows)
