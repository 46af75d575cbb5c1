"""The hot handlers, bytes in and bytes out: what reaches the group commit, and what does not."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from counters.fastpath import BODY_BYTES_MAX, IncrementDoors
from counters.payload import decode_payload, encode_payload
from counters.records import BATCH_MAX, Batch, Increment
from runtime.http.answer import Answer
from runtime.http.routes import HotRequest, Reply

KEY = UUID("7d6b1f2e-5f0c-4c0e-9d3a-0f3f1a6f6a11")
ONE = msgspec.json.encode({"key": KEY, "value": 3})
BUSY = Answer(503, b'{"msg":"store: redis does not take writes; nothing was accepted"}')


class Noting:
    """Stands for the group commit: notes the items, and answers at once."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.sizes: list[int] = []
        self.full = False

    def submit(self, item: Any, size_bytes: int, reply: Reply, accepted: Answer) -> None:
        self.items.append(item)
        self.sizes.append(size_bytes)
        reply(BUSY if self.full else accepted)


@pytest.fixture
def noting() -> Noting:
    return Noting()


def send(noting: Noting, body: bytes, *headers: tuple[bytes, bytes], batch: bool = False) -> Answer:
    doors = IncrementDoors(noting.submit)
    answers: list[Answer] = []
    handler = doors.batch if batch else doors.increment
    handler(HotRequest(b"", body, list(headers), ""), answers.append)
    [answer] = answers
    return answer


def many(count: int) -> bytes:
    return b"[" + b",".join([ONE] * count) + b"]"


def test_an_increment_is_handed_over_and_answered_when_it_is_safe(noting):
    assert send(noting, ONE, (b"host", b"x")) == Answer(200, b"{}")
    assert noting.items == [Increment(KEY, 3)]
    noting.full = True
    assert send(noting, ONE) == BUSY


@pytest.mark.parametrize("batch", [False, True])
def test_an_idempotency_key_goes_along(noting, batch):
    body = many(2) if batch else ONE
    answer = send(noting, body, (b"idempotency-key", b"order-1"), batch=batch)
    assert answer.status == 200
    [group] = decode_payload(encode_payload(noting.items)).groups
    assert group.idempotency_key == "order-1"
    assert group.block.sums == ((6,) if batch else (3,))
    assert not decode_payload(encode_payload(noting.items)).block.keys


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(
    "value", [b"", b"x" * 65, "é".encode() * 65, b"\xff", b"a\tb", "\u200b".encode()]
)
def test_what_is_no_idempotency_key(noting, batch, value):
    body = many(1) if batch else ONE
    answer = send(noting, body, (b"idempotency-key", value), batch=batch)
    assert answer.status == 400
    assert answer.body.startswith(b'{"msg":"Idempotency-Key: must have 1 to 64')
    assert noting.items == []


@pytest.mark.parametrize("value", [b"x", b"x" * 64, "é".encode() * 64])
def test_what_is_one(noting, value):
    assert send(noting, ONE, (b"idempotency-key", value)).status == 200


def test_a_batch_is_one_item(noting):
    assert send(noting, many(3), batch=True) == Answer(200, b'{"accepted":3}')
    assert noting.items == [Batch.of([Increment(KEY, 3)] * 3)]
    assert noting.sizes == [72]


def test_an_empty_batch_needs_no_store(noting):
    noting.full = True
    assert send(noting, b"[]", batch=True) == Answer(200, b'{"accepted":0}')
    assert noting.items == []


def test_the_largest_batch_and_one_more(noting):
    assert send(noting, many(BATCH_MAX), batch=True).status == 200
    answer = send(noting, many(BATCH_MAX + 1), batch=True)
    assert answer.status == 400
    assert b"10001 increments" in answer.body
    assert len(noting.items) == 1


@pytest.mark.parametrize("batch", [False, True])
def test_a_body_is_not_read_beyond_any_sense(noting, batch):
    answer = send(noting, b" " * (BODY_BYTES_MAX + 1), batch=batch)
    assert answer.status == 413
    assert answer.body.startswith(b'{"msg":"body: is larger than')


@pytest.mark.parametrize(
    ("body", "batch", "msg"),
    [
        (b"", False, "body: is not valid JSON"),
        (b"[{", True, "body: is not valid JSON"),
        (b"[]", False, "body: must be an object with key and value"),
        (b"{}", True, "body: must be an array of increments"),
        (many(2)[:-1] + b',{"key":"x","value":1}]', True, "[2].key: must be a UUID"),
        (b'{"key":"%s"}' % str(KEY).encode(), False, "value: is required"),
    ],
)
def test_mistakes_are_named(noting, body, batch, msg):
    answer = send(noting, body, batch=batch)
    assert (answer.status, msgspec.json.decode(answer.body)) == (400, {"msg": msg})
    assert noting.items == []
