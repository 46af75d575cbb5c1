"""What may be asked about counters."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.queries import (
    GRANULARITIES,
    STEP,
    InvalidQuestionError,
    parse_key,
    parse_keys,
    parse_window,
)

NOW = datetime(2026, 3, 1, 12, 34, 56, 789, tzinfo=UTC)
KEY = UUID("7d6b1f2e-5f0c-4c0e-9d3a-0f3f1a6f6a11")


def asked(query: str) -> tuple[str, str, str]:
    granularity, start, end = parse_window(query.encode(), now=NOW)
    return granularity, f"{start:%d %H:%M:%S}", f"{end:%d %H:%M:%S}"


@pytest.mark.parametrize("text", [str(KEY), str(KEY).upper(), KEY.hex])
def test_a_key_in_every_form_that_an_increment_takes(text):
    assert parse_key(text) == KEY


@pytest.mark.parametrize(
    "text", ["", "x", "1", f"{{{KEY}}}", f"urn:uuid:{KEY}", f"{KEY}0", f" {KEY}", "٣" * 32]
)
def test_what_is_no_key(text):
    with pytest.raises(InvalidQuestionError, match=r"^key: must be a UUID$"):
        parse_key(text)


def test_keys_come_in_the_order_given_and_as_often():
    one, two = uuid4(), uuid4()
    query = f"key={two}&colour=red&key={one}&key={two}&key%65=x"
    assert parse_keys(query.encode()) == [two, one, two]


@pytest.mark.parametrize(
    ("query", "msg"),
    [
        (b"", "key: is required, once for each counter"),
        (b"keys=1", "key: is required, once for each counter"),
        (b"key=", "key: must be a UUID"),
        (b"key=\xff", "key: must be a UUID"),
        (f"key={KEY}&key={KEY}&key=nonsense".encode(), "key[2]: must be a UUID"),
        (b"&".join([b"key=x"] * 1001), "key: is given 1001 times, 1000 are the most"),
    ],
)
def test_mistakes_in_keys_are_named(query, msg):
    with pytest.raises(InvalidQuestionError) as error:
        parse_keys(query)
    assert str(error.value) == msg


@pytest.mark.parametrize(
    ("query", "window"),
    [
        ("", ("hour", "27 12:00:00", "01 13:00:00")),
        ("granularity=minute", ("minute", "01 11:34:00", "01 12:35:00")),
        ("granularity=day", ("day", "30 00:00:00", "02 00:00:00")),
        ("granularity=&start=&end=&x=1", ("hour", "27 12:00:00", "01 13:00:00")),
        ("start=2026-03-01T08:00:00Z", ("hour", "01 08:00:00", "01 13:00:00")),
        # Whole buckets stay as they are.
        (
            "start=2026-03-01T08:00:00Z&end=2026-03-01T09:00:00Z",
            ("hour", "01 08:00:00", "01 09:00:00"),
        ),
        (
            "start=2026-03-01T08:00:00%2B08:00&end=2026-03-01T00:00:01Z&granularity=day",
            ("day", "01 00:00:00", "02 00:00:00"),
        ),
    ],
)
def test_a_window_is_widened_to_whole_buckets(query, window):
    assert asked(query) == window


@pytest.mark.parametrize(
    ("query", "msg"),
    [
        ("granularity=week", "granularity: must be minute, hour or day"),
        ("granularity=day&granularity=day", "granularity: is given more than once"),
        ("start=2026-03-02T00:00:00Z", "start: must be earlier than end"),
        ("start=2026-03-01T00:00:00Z&end=2026-03-01T00:00:00Z", "start: must be earlier than end"),
        (
            "granularity=minute&start=2026-02-01T00:00:00Z",
            "start: is more than 10000 minutes earlier than end",
        ),
        *[
            (
                f"{name}={text}",
                f"{name}: must be a time with its zone, such as 2026-01-31T08:00:00Z"
                " (a plus sign is written %2B)",
            )
            for name in ("start", "end")
            for text in (
                "yesterday",
                "2026-03-01T08:00:00",
                "2026-03-01T08:00:00+08:00",
                "0001-01-01T00:00:00%2B08:00",
                "9999-12-31T23:00:00-08:00",
                "1772366400",
                "%ff",
            )
        ],
    ],
)
def test_mistakes_in_a_window_are_named(query, msg):
    with pytest.raises(InvalidQuestionError) as error:
        parse_window(query.encode(), now=NOW)
    assert str(error.value) == msg


@given(
    start=st.datetimes(datetime(2025, 12, 1), datetime(2026, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    seconds=st.integers(1, 10 * 86_400 // 2),
    granularity=st.sampled_from(GRANULARITIES),
)
def test_every_window_covers_what_was_asked_for_and_no_bucket_more(start, seconds, granularity):
    end = start + timedelta(seconds=seconds)
    first, last = (f"{at:%Y-%m-%dT%H:%M:%S.%fZ}" for at in (start, end))
    query = f"granularity={granularity}&start={first}&end={last}"
    window = parse_window(query.encode(), now=NOW)
    step = STEP[granularity]
    assert window.start <= start < window.start + step
    assert window.end - step < end <= window.end
    assert window.starts()[-1] == window.end - step
    assert {at.second for at in window.starts()} == {0}
