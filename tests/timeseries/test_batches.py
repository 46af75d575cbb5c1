"""What goes into a payload of the stream comes out again."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.timeseries.reference import Reference
from tests.timeseries.strategies import messages
from timeseries.batches import BadPayloadError, Batch
from timeseries.records import STORED_MAX_NS, InvalidTagError, Measurement, encode


def listed(batch: Batch) -> list[tuple[str, int, list[float]]]:
    rows = []
    place = 0
    for code, time_ns, count in zip(batch.codes, batch.times_ns, batch.counts, strict=True):
        values = batch.values[place : place + count].tolist()
        rows.append((batch.names[code], int(time_ns), values))
        place += count
    return rows


def expected(batch: list[Measurement]) -> list[tuple[str, int, list[float]]]:
    return [(m.tag, m.time, m.values) for m in batch]


@settings(deadline=None)
@given(messages)
def test_a_payload_gives_back_what_went_in_in_its_order(batch) -> None:
    assert listed(Batch.decoded(encode(batch))) == expected(batch)


@settings(deadline=None, max_examples=30)
@given(st.lists(messages, max_size=4))
def test_joined_batches_are_one_after_the_other(batches) -> None:
    joined = Batch.joined([Batch.of(batch) for batch in batches])
    assert listed(joined) == expected([m for batch in batches for m in batch])


@settings(deadline=None)
@given(messages)
def test_the_latest_of_each_tag_and_time_is_kept_in_order(batch) -> None:
    latest = Batch.of(batch).latest()
    assert list(zip(latest.codes, latest.times_ns, strict=True)) == sorted(
        zip(latest.codes, latest.times_ns, strict=True)
    )
    rows = {(tag, time): values for tag, time, values in listed(latest)}
    assert rows == Reference(batch).kept
    assert len(rows) == len(latest)
    by_tag = {tag: list(rows) for tag, rows in latest.by_tag()}
    assert by_tag == {tag: Reference(batch).rows(tag) for tag in {m.tag for m in batch}}


def test_extreme_numbers_survive() -> None:
    values = [5e-324, -1.7976931348623157e308, -0.0, 1 / 3]
    batch = [Measurement(STORED_MAX_NS, "€" * 20, values), Measurement(0, "x", [1.0])]
    assert listed(Batch.of(batch)) == expected(batch)


@pytest.mark.parametrize("tags", [["\0"], ["a\0b"], ["a", "b\0"], ["\0", "a"]])
def test_a_tag_with_nul_is_refused(tags) -> None:
    with pytest.raises(InvalidTagError):
        encode([Measurement(1, tag, [1.0]) for tag in tags])


def test_a_damaged_payload_is_refused() -> None:
    payload = encode([Measurement(i, f"tag {i % 3}", [1.0] * (i + 1)) for i in range(20)])
    for length in range(len(payload)):
        with pytest.raises(BadPayloadError):
            Batch.decoded(payload[:length])
    with pytest.raises(BadPayloadError):
        Batch.decoded(payload + b"\0")
    with pytest.raises(BadPayloadError):
        Batch.decoded(b"M2" + payload[2:])


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_noise_is_refused_or_read_but_never_breaks(noise: random.Random) -> None:
    payload = bytearray(encode([Measurement(i, "ab"[i % 2], [1.0, 2.0]) for i in range(4)]))
    for _ in range(3):
        payload[noise.randrange(len(payload))] = noise.randrange(256)
    try:
        batch = Batch.decoded(bytes(payload))
    except BadPayloadError:
        return
    assert len(listed(batch)) == len(batch)
