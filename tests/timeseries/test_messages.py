"""Which messages are accepted, and in which words the others are refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timeseries.messages import (
    BATCH_MAX,
    Acceptance,
    InvalidMessageError,
    TooManyMessagesError,
)

NOW_NS = 1_700_000_000_000_000_000
S_NS = 1_000_000_000
ACCEPTANCE = Acceptance(retention_s=86_400, ahead_s=60, now_ns=lambda: NOW_NS)
GOOD: dict[str, object] = {"time": NOW_NS, "tag": "a", "values": [1.5]}
TIME_WORDS = "time: must be an integer, nanoseconds since 1970"
TAG_WORDS = "tag: must be a text of 1 to 20 characters"
VALUES_WORDS = "values: must be an array of 1 to 64 finite numbers"
OBJECT_WORDS = "must be an object with time, tag and values"
AHEAD_WORDS = "time: is more than 60 s ahead of the server's clock"
BACK_WORDS = "time: is more than 24 h back, which is no longer kept"

REFUSED: list[tuple[bytes, str]] = [
    (b"", "body: is not valid JSON"),
    (b"{", "body: is not valid JSON"),
    (b"\xff", "body: is not valid JSON"),
    (b'{"time":1,"tag":"\xff","values":[1]}', "body: is not valid JSON"),
    (b"[" * 100_000, f"body: {OBJECT_WORDS}"),
    (b'{"time":1,"tag":"a","values":[NaN]}', "body: is not valid JSON"),
    (b'{"time":1,"tag":"a","values":[Infinity]}', "body: is not valid JSON"),
    (b'{"time":1,"tag":"a","values":[1e999]}', VALUES_WORDS),
    (b"[]", f"body: {OBJECT_WORDS}"),
    (b"null", f"body: {OBJECT_WORDS}"),
    (json.dumps(GOOD).encode() + b"x", "body: is not valid JSON"),
    (b'{"tag":"b",' + json.dumps(GOOD).encode()[1:], "body: gives a field twice"),
    (b'{"tag":"\\"\\\\",' + json.dumps(GOOD).encode()[1:], "body: gives a field twice"),
]
# What is changed in a good message, and what is then wrong with it.
BAD_FIELDS: list[tuple[dict[str, object], str]] = [
    ({"time": 1.5}, TIME_WORDS),
    ({"time": "1"}, TIME_WORDS),
    ({"time": None}, TIME_WORDS),
    ({"time": True}, TIME_WORDS),
    ({"time": -1}, TIME_WORDS),
    ({"time": 2**63}, TIME_WORDS),
    ({"time": 10**400}, TIME_WORDS),
    ({"time": NOW_NS + 60 * S_NS + 1}, AHEAD_WORDS),
    ({"time": NOW_NS + 86_400 * S_NS}, AHEAD_WORDS),
    ({"time": NOW_NS - 86_400 * S_NS - 1}, BACK_WORDS),
    ({"time": 0}, BACK_WORDS),
    ({"tag": ""}, TAG_WORDS),
    ({"tag": "x" * 21}, TAG_WORDS),
    ({"tag": 1}, TAG_WORDS),
    ({"tag": None}, TAG_WORDS),
    ({"tag": "a\0b"}, "tag: must not hold the character NUL"),
    ({"values": []}, VALUES_WORDS),
    ({"values": [1.0] * 65}, VALUES_WORDS),
    ({"values": ["1"]}, VALUES_WORDS),
    ({"values": [None]}, VALUES_WORDS),
    ({"values": [True]}, VALUES_WORDS),
    ({"values": [[1]]}, VALUES_WORDS),
    ({"values": 1}, VALUES_WORDS),
    ({"values": [10**400]}, VALUES_WORDS),
    ({"unit": "K"}, "unit: is not a field"),
]


@pytest.mark.parametrize(("change", "words"), BAD_FIELDS)
def test_refused_fields(change, words):
    refuse(json.dumps({**GOOD, **change}).encode(), words)


@pytest.mark.parametrize("name", GOOD)
def test_no_field_may_be_left_out(name):
    rest = {key: value for key, value in GOOD.items() if key != name}
    refuse(json.dumps(rest).encode(), f"{name}: is required")


@pytest.mark.parametrize(("body", "words"), REFUSED)
def test_refused(body, words):
    refuse(body, words)


def refuse(body: bytes, words: str) -> None:
    with pytest.raises(InvalidMessageError) as caught:
        ACCEPTANCE.message(body)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    "change",
    [
        {"time": NOW_NS + 60 * S_NS},
        {"time": NOW_NS - 86_400 * S_NS},
        {"tag": "x" * 20},
        {"tag": "温度" * 10},
        {"tag": " \n"},
        *({"tag": tag} for tag in ('"', "\\", '\\"', '"\\', '\\\\"\\"', '""', "\x01")),
        {"values": [-1.5, 0, 1e300, 5e-324, 2**70]},
        {"values": [1.0] * 64},
    ],
)
def test_accepted(change):
    message = {**GOOD, **change}
    for measurement in (
        ACCEPTANCE.message(json.dumps(message).encode()),
        *ACCEPTANCE.batch(json.dumps([message]).encode()),
        *ACCEPTANCE.batch(json.dumps(message).encode()),
    ):
        assert (measurement.time, measurement.tag) == (message["time"], message["tag"])
        assert measurement.values == message["values"]
        assert all(type(value) is float for value in measurement.values)


def lines(*messages: object, end: str = "\n") -> bytes:
    return "".join(f"{json.dumps(each)}{end}" for each in messages).encode()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n \n"])
def test_lines(end):
    others = [{**GOOD, "tag": "b"}, {**GOOD, "tag": "c"}]
    batch = ACCEPTANCE.batch(b"\n " + lines(GOOD, *others, end=end))
    assert [measurement.tag for measurement in batch] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b" \n", "body: is empty"),
        (b"[", "body: is not valid JSON"),
        (b"[1]", f"[0]: {OBJECT_WORDS}"),
        (json.dumps([GOOD, {**GOOD, "tag": ""}]).encode(), f"[1].{TAG_WORDS}"),
        (lines(GOOD, {**GOOD, "time": 1}), f"[1].{BACK_WORDS}"),
        (lines(GOOD, GOOD) + b"{", "[2]: is not valid JSON"),
        # The first bad one is named, though reading stumbles over a later one.
        (json.dumps([GOOD, {**GOOD, "time": 1}, {}]).encode(), f"[1].{BACK_WORDS}"),
        (lines(GOOD, {**GOOD, "tag": "\0"}, {}), "[1].tag: must not hold the character NUL"),
        # A message a line, whatever a reader of many would make of it.
        (lines(GOOD, end=" ") + lines(GOOD), "[0]: is not valid JSON"),
        (lines(GOOD) + json.dumps(GOOD, indent=1).encode(), "[1]: is not valid JSON"),
        (lines(GOOD) + b'{"time":1,' + lines(GOOD)[1:], "[1]: gives a field twice"),
        (b'[%b,{"tag":"b",%b]' % (lines(GOOD), lines(GOOD)[1:]), "[1]: gives a field twice"),
    ],
)
def test_refused_batches(body, words):
    with pytest.raises(InvalidMessageError) as caught:
        ACCEPTANCE.batch(body)
    assert str(caught.value) == words


def test_batch_sizes():
    assert ACCEPTANCE.batch(b" []") == []
    assert len(ACCEPTANCE.batch(lines(*[GOOD] * BATCH_MAX))) == BATCH_MAX
    with pytest.raises(TooManyMessagesError, match="has 10001 messages, 10000 are the most"):
        ACCEPTANCE.batch(lines(*[GOOD] * (BATCH_MAX + 1)))


messages = st.fixed_dictionaries(
    {
        "time": st.one_of(st.integers(NOW_NS - S_NS, NOW_NS), st.integers(), st.floats()),
        "tag": st.text(max_size=22),
        "values": st.lists(st.one_of(st.floats(width=64), st.integers()), max_size=66),
    }
)


@given(st.lists(messages, max_size=5))
def test_one_by_one_or_together(sent):
    """A batch is accepted exactly when each of its messages is, and names the first bad one."""
    first_bad = None
    for index, message in enumerate(sent):
        try:
            ACCEPTANCE.message(json.dumps(message).encode())
        except InvalidMessageError as error:
            own = str(error)
            first_bad = f"[{index}]{own[4:]}" if own.startswith("body") else f"[{index}].{own}"
            break
    bodies = [lines(*sent)] if sent else []
    # As an array, what is no JSON at all has no index.
    if not any("NaN" in str(each) or "Infinity" in str(each) for each in map(json.dumps, sent)):
        bodies.append(json.dumps(sent).encode())
    for body in bodies:
        if first_bad is None:
            assert len(ACCEPTANCE.batch(body)) == len(sent)
        else:
            with pytest.raises(InvalidMessageError) as caught:
                ACCEPTANCE.batch(body)
            assert str(caught.value) == first_bad
