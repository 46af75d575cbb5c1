"""What is an increment and what is not, in the words that clients get to read."""

import json
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters import records
from counters.records import (
    BATCH_MAX,
    VALUE_MAX,
    Batch,
    Increment,
    InvalidIncrementError,
    TooManyIncrementsError,
    decode_batch,
    decode_idempotency_key,
    decode_increment,
)

KEY = "6b1c3c52-8f5f-4a39-9d3c-0f1de3c6a111"
NOT_A_KEY = "key: must be a UUID"
NOT_A_VALUE = "value: must be an integer from 1 to 9223372036854775807"
NOT_AN_OBJECT = "body: must be an object with key and value"


def body(**fields: object) -> bytes:
    return json.dumps({"key": KEY, "value": 1, **fields}).encode()


@given(key=st.uuids(), value=st.integers(1, VALUE_MAX))
def test_every_valid_increment_is_taken(key: UUID, value: int) -> None:
    data = json.dumps({"value": value, "key": str(key)}).encode()
    assert decode_increment(data) == Increment(key, value)


@pytest.mark.parametrize("text", [KEY, KEY.upper(), KEY.replace("-", "")])
def test_a_key_may_be_written_in_every_usual_way(text: str) -> None:
    assert decode_increment(body(key=text)).key == UUID(KEY)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (body(key="x"), NOT_A_KEY),
        (body(key=1), NOT_A_KEY),
        (body(key=None), NOT_A_KEY),
        (body(key=f"{{{KEY}}}"), NOT_A_KEY),
        (body(key=KEY + "0"), NOT_A_KEY),
        (body(value=0), NOT_A_VALUE),
        (body(value=-1), NOT_A_VALUE),
        (body(value=VALUE_MAX + 1), NOT_A_VALUE),
        (body(value=10**30), NOT_A_VALUE),
        (body(value=1.0), NOT_A_VALUE),
        (body(value=1.5), NOT_A_VALUE),
        (body(value="1"), NOT_A_VALUE),
        (body(value=True), NOT_A_VALUE),
        (body(value=None), NOT_A_VALUE),
        (body(value=[]), NOT_A_VALUE),
        (body().replace(b"1}", b"1e400}"), NOT_A_VALUE),
        (body(extra=1), "extra: is not a field"),
        (b'{"key": "%b"}' % KEY.encode(), "value: is required"),
        (b'{"value": 1}', "key: is required"),
        (b"{}", "key: is required"),
        (b"[]", NOT_AN_OBJECT),
        (b"1", NOT_AN_OBJECT),
        (b"null", NOT_AN_OBJECT),
        (b"", "body: is not valid JSON"),
        (b"{", "body: is not valid JSON"),
        (b"\xff", "body: is not valid JSON"),
        (b'{"key": "\xff"}', NOT_A_KEY),
        (body() + b"x", "body: is not valid JSON"),
        (b"[" * 100_000, NOT_AN_OBJECT),
        (b'{"value":2,' + body()[1:], "body: gives a field twice"),
        (b'{"key":"%b",' % KEY.encode() + body()[1:], "body: gives a field twice"),
    ],
)
def test_a_mistake_is_named_with_its_field(data: bytes, message: str) -> None:
    with pytest.raises(InvalidIncrementError) as raised:
        decode_increment(data)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[%b,%b]" % (body(), body(value=0)), f"[1].{NOT_A_VALUE}"),
        (b"[%b,%b,%b]" % (body(), body(key="x"), body(value=0)), f"[1].{NOT_A_KEY}"),
        (b"[%b]" % body(extra=1), "[0].extra: is not a field"),
        (b"[%b,{}]" % body(), "[1].key: is required"),
        (b"[3]", "[0]: must be an object with key and value"),
        (b"[%b,[]]" % body(), "[1]: must be an object with key and value"),
        (body(), "body: must be an array of increments"),
        (b"null", "body: must be an array of increments"),
        (b"[%b" % body(), "body: is not valid JSON"),
        (b'[%b,{"value":2,%b]' % (body(), body()[1:]), "[1]: gives a field twice"),
    ],
)
def test_a_batch_names_the_first_bad_index(data: bytes, message: str) -> None:
    with pytest.raises(InvalidIncrementError) as raised:
        decode_batch(data)
    assert str(raised.value) == message


@pytest.mark.parametrize("text", [KEY, KEY.upper(), KEY.replace("-", "")])
def test_a_key_in_a_batch_too(text: str) -> None:
    for _ in range(2):
        assert decode_batch(b"[%b]" % body(key=text)) == Batch([UUID(KEY).bytes], [1])


def test_keys_are_remembered_up_to_a_number_and_then_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    known = records._KnownKeys()
    monkeypatch.setattr(known, "MOST", 5)
    monkeypatch.setattr(known, "_MISSES_MOST", 8)
    monkeypatch.setattr(records, "_known_keys", known)
    remembered = []
    for _ in range(3):
        keys = [uuid4() for _ in range(4)]
        data = b"[%b]" % b",".join(body(key=str(key)) for key in [*keys, *keys])
        for _ in range(2):
            assert decode_batch(data).keys == [key.bytes for key in [*keys, *keys]]
        assert len(known) <= 5
        remembered.append(str(keys[0]) in known._known)
    # There was no room for the second ones; by the third it had lasted long enough.
    assert remembered == [True, False, True]
    with pytest.raises(InvalidIncrementError, match=r"\[1\]\.key: must be a UUID"):
        decode_batch(b"[%b,%b]" % (body(), body(key="x")))


def test_a_batch_has_its_order_and_its_limit() -> None:
    increments = [Increment(uuid4(), value) for value in range(1, 4)]
    sent = [{"key": str(each.key), "value": each.value} for each in increments]
    assert decode_batch(json.dumps(sent).encode()) == Batch.of(increments)
    assert decode_batch(b"[]") == Batch([], [])
    most = b"[" + b",".join([body()] * BATCH_MAX)
    assert len(decode_batch(most + b"]")) == BATCH_MAX
    with pytest.raises(TooManyIncrementsError, match="body: has 10001 increments, 10000 are"):
        decode_batch(most + b"," + body() + b"]")


@pytest.mark.parametrize("header", [b"a", b"x" * 64, "é".encode() * 64, b"with space"])
def test_an_idempotency_key_is_any_short_text(header: bytes) -> None:
    assert decode_idempotency_key([(b"idempotency-key", header)]) == header.decode()


def test_an_idempotency_key_is_given_once_or_not_at_all() -> None:
    assert decode_idempotency_key([(b"host", b"x")]) is None
    with pytest.raises(InvalidIncrementError, match="Idempotency-Key: must not be given twice"):
        decode_idempotency_key([(b"idempotency-key", b"a"), (b"idempotency-key", b"a")])


@pytest.mark.parametrize("header", [b"", b"x" * 65, b"\xff", b"a\tb", b"a\x00", "é".encode() * 65])
def test_anything_else_is_no_idempotency_key(header: bytes) -> None:
    with pytest.raises(InvalidIncrementError, match="Idempotency-Key: must have 1 to 64"):
        decode_idempotency_key([(b"idempotency-key", header)])
