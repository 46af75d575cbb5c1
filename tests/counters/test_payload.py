"""What is folded into a stream entry comes out of it, and damage is noticed."""

import struct
from collections import Counter
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counters.payload import Block, PayloadError, decode_payload, encode_payload
from counters.records import VALUE_MAX, Batch, Increment, Item, Keyed

# Few keys, so that they meet again; values near the edge, so that sums pass it.
KEYS = st.uuids(version=4) | st.sampled_from([f"{n:032x}" for n in range(3)]).map(UUID)
VALUES = st.integers(1, 1000) | st.integers(VALUE_MAX - 3, VALUE_MAX)
INCREMENTS = st.builds(Increment, KEYS, VALUES)
BATCHES = st.lists(INCREMENTS, max_size=6).map(Batch.of)
IDEMPOTENCY_KEYS = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=64
)
ITEMS = st.lists(INCREMENTS | BATCHES | st.builds(Keyed, IDEMPOTENCY_KEYS, BATCHES), max_size=8)

NONE, ONE = struct.pack("<I", 0), struct.pack("<I", 1)


def added(block: Block) -> Counter[bytes]:
    sums: Counter[bytes] = Counter()
    for key, value in zip(block.keys, block.sums, strict=True):
        assert 1 <= value <= VALUE_MAX
        sums[key] += value
    return sums


def expected(batches: list[Batch]) -> Counter[bytes]:
    sums: Counter[bytes] = Counter()
    for batch in batches:
        for key, value in zip(batch.keys, batch.values, strict=True):
            sums[key] += value
    return sums


@given(items=ITEMS)
def test_sums_and_groups_come_back_exactly(items: list[Item]) -> None:
    plain: list[Batch] = []
    keyed: list[Keyed] = []
    for item in items:
        if isinstance(item, Keyed):
            keyed.append(item)
        else:
            plain.append(Batch.of([item]) if isinstance(item, Increment) else item)
    payload = decode_payload(encode_payload(items))
    assert added(payload.block) == expected(plain)
    assert payload.block.increments == sum(map(len, plain))
    assert [group.idempotency_key for group in payload.groups] == [
        each.idempotency_key for each in keyed
    ]
    for group, each in zip(payload.groups, keyed, strict=True):
        assert added(group.block) == expected([each.increments])
        assert group.block.increments == len(each.increments)


def test_a_key_takes_its_place_once_however_often_it_comes() -> None:
    increment = Increment(uuid4(), 2)
    once = encode_payload([increment])
    assert len(encode_payload([Batch.of([increment] * 1000), increment])) == len(once)


@given(items=ITEMS, data=st.data())
@settings(max_examples=50)
def test_a_cut_payload_is_noticed_at_any_place(items: list[Item], data: st.DataObject) -> None:
    payload = encode_payload(items)
    cut = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises(PayloadError):
        decode_payload(payload[:cut])
    with pytest.raises(PayloadError):
        decode_payload(payload + b"\x00")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_payload_or_a_named_error(noise: bytes) -> None:
    for payload in (noise, b"\x01" + noise):
        try:
            decode_payload(payload)
        except PayloadError:
            continue


@pytest.mark.parametrize(
    "payload",
    [
        b"\x02" + NONE * 3,
        b"\x01" + NONE + b"\xff" * 4 + NONE,
        b"\x01" + NONE * 2 + b"\xff" * 4,
        b"\x01" + ONE * 2 + b"\x00" * 24 + NONE,
        b"\x01" + ONE * 2 + b"\x00" * 16 + b"\xff" * 8 + NONE,
        b"\x01" + NONE * 2 + ONE + b"\x00\x00" + NONE * 2,
    ],
    ids=["version", "blocks", "groups", "zero", "negative", "no idempotency key"],
)
def test_what_no_writer_writes_is_refused(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        decode_payload(payload)
