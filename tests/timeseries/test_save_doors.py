"""The hot handlers of `/save`: what they hand over, and what they answer."""

import json

import pytest

from runtime.http.answer import Answer
from runtime.http.routes import HotRequest
from timeseries.batches import Batch
from timeseries.fastpath import (
    BATCH_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    SaveDoors,
    encode_items,
)
from timeseries.messages import BATCH_MAX, Acceptance
from timeseries.records import Measurement

NOW_NS = 1_700_000_000_000_000_000


class Submitted:
    """Stands where the group commit does: notes what it is given, and answers at once."""

    def __init__(self) -> None:
        self.items: list[Measurement | list[Measurement]] = []
        self.sizes_bytes: list[int] = []

    def __call__(self, item, size_bytes, reply, accepted):
        self.items.append(item)
        self.sizes_bytes.append(size_bytes)
        reply(accepted)


@pytest.fixture
def submitted():
    return Submitted()


@pytest.fixture
def doors(submitted):
    acceptance = Acceptance(retention_s=86_400, ahead_s=60, now_ns=lambda: NOW_NS)
    return SaveDoors(submitted, acceptance)


def message(tag: str = "a", width: int = 2) -> dict[str, object]:
    return {"time": NOW_NS, "tag": tag, "values": [1.5] * width}


def ask(handler, body: bytes) -> Answer:
    answers: list[Answer] = []
    handler(HotRequest(b"", body, [], "127.0.0.1"), answers.append)
    [answer] = answers
    return answer


def test_a_message_is_handed_over(doors, submitted):
    assert ask(doors.save, json.dumps(message()).encode()) == Answer(200, b"{}")
    assert submitted.items == [Measurement(NOW_NS, "a", [1.5, 1.5])]


def test_a_batch_is_handed_over_whole(doors, submitted):
    body = json.dumps([message("a"), message("b")]).encode()
    assert ask(doors.batch, body) == Answer(200, b'{"accepted":2}')
    assert [[each.tag for each in item] for item in submitted.items] == [["a", "b"]]


def test_an_empty_batch_needs_no_store(doors, submitted):
    assert ask(doors.batch, b"[]") == Answer(200, b'{"accepted":0}')
    assert submitted.items == []


@pytest.mark.parametrize("name", ["save", "batch"])
def test_nothing_bad_is_handed_over(doors, submitted, name):
    answer = ask(getattr(doors, name), b'{"time":1}')
    assert (answer.status, answer.headers) == (400, ())
    assert json.loads(answer.body)["msg"].endswith("tag: is required")
    assert submitted.items == []


@pytest.mark.parametrize(
    ("name", "most"), [("save", MESSAGE_BYTES_MAX), ("batch", BATCH_BYTES_MAX)]
)
def test_too_large(doors, submitted, name, most):
    answer = ask(getattr(doors, name), b" " * (most + 1))
    assert answer.status == 413
    assert json.loads(answer.body) == {"msg": f"body: is larger than {most} bytes"}
    assert submitted.items == []


def test_the_largest_that_is_valid_fits():
    """Every number written out, every character of a tag escaped."""
    widest = {"time": NOW_NS, "tag": "\U0001f321" * 20, "values": [-1.2345678901234567e-300] * 64}
    body = json.dumps(widest, indent=1).encode()
    assert len(body) < MESSAGE_BYTES_MAX
    assert len(json.dumps(widest)) * BATCH_MAX < BATCH_BYTES_MAX


def test_sizes_are_about_those_of_the_payload(doors, submitted):
    ask(doors.save, json.dumps(message(width=10)).encode())
    ask(
        doors.batch, json.dumps([message(f"tag{n}", width=n % 64 + 1) for n in range(500)]).encode()
    )
    payload = encode_items(submitted.items)
    assert 0.8 < sum(submitted.sizes_bytes) / len(payload) <= 1


def test_items_keep_their_order():
    one = Measurement(1, "a", [1.0])
    many = [Measurement(2, "b", [2.0]), Measurement(3, "a", [3.0])]
    batch = Batch.decoded(encode_items([one, many, one]))
    assert batch.times_ns.tolist() == [1, 2, 3, 1]
    assert [batch.names[code] for code in batch.codes] == ["a", "b", "a", "a"]
