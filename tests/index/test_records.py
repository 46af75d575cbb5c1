"""What a valid ad is, and the words for what is not."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django_countries import countries
from hypothesis import given
from hypothesis import strategies as st

from adserver.countries import COUNTRIES
from adserver.records import (
    InvalidAdError,
    epoch_us,
    fields_of,
    parse_fields,
    parse_record,
    parse_time,
    render,
)
from tests.index.strategies import records

VALID = {
    "title": "A good title",
    "content": "",
    "start_at": "2026-01-01T00:00:00Z",
    "end_at": "2026-02-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02T15:04:05Z", datetime(2026, 1, 2, 15, 4, 5, tzinfo=UTC)),
        ("2026-01-02t15:04:05z", datetime(2026, 1, 2, 15, 4, 5, tzinfo=UTC)),
        ("2026-01-02T15:04:05+08:00", datetime(2026, 1, 2, 7, 4, 5, tzinfo=UTC)),
        ("2026-01-02T15:04:05.123456789Z", datetime(2026, 1, 2, 15, 4, 5, 123456, tzinfo=UTC)),
        ("2026-01-02T15:04:05.5-03:30", datetime(2026, 1, 2, 18, 34, 5, 500000, tzinfo=UTC)),
        ("2006-01-02 15:04:05 +0800 CST", datetime(2006, 1, 2, 7, 4, 5, tzinfo=UTC)),
        ("2006-01-02 15:04:05.25 +0000 UTC", datetime(2006, 1, 2, 15, 4, 5, 250000, tzinfo=UTC)),
        ("2006-01-02 15:04:05 -0330 -0330", datetime(2006, 1, 2, 18, 34, 5, tzinfo=UTC)),
        ("2006-01-02 15:04:05 +0800", datetime(2006, 1, 2, 7, 4, 5, tzinfo=UTC)),
    ],
)
def test_times_in_both_layouts(text: str, moment: datetime) -> None:
    assert parse_time(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02",
        "2026-01-02T15:04:05",
        "2026-02-30T00:00:00Z",
        "2026-01-02T25:00:00Z",
        "2026-01-02T15:04:05+25:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "1767366245",
        "٢٠٢٦-01-02T15:04:05Z",
        "",
        "now",
        "2006-01-02T15:04:05+08:60",
        "2006-01-02 15:04:05 +0860 CST",
        5,
        None,
    ],
)
def test_times_that_are_none(text: object) -> None:
    with pytest.raises(ValueError, match=r"must be a time|is not a time"):
        parse_time(text)


@given(
    st.datetimes(
        min_value=datetime(1000, 1, 2),  # noqa: DTZ001
        max_value=datetime(9999, 12, 30),  # noqa: DTZ001
        timezones=st.builds(timezone, st.timedeltas(-timedelta(hours=14), timedelta(hours=14))),
    )
)
def test_microseconds_are_exact(moment: datetime) -> None:
    back = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=epoch_us(moment))
    assert back == moment


@given(records())
def test_a_rendered_ad_is_read_back(record) -> None:
    assert parse_record(render(record)) == record
    assert parse_fields(
        {name: getattr(fields_of(record), name) for name in fields_of(record).__struct_fields__}
    ) == fields_of(record)


@pytest.mark.parametrize(
    ("change", "errors"),
    [
        ({"title": "four"}, {"title": "must have 5 to 100 characters, not 4"}),
        ({"title": "x" * 101}, {"title": "must have 5 to 100 characters, not 101"}),
        ({"title": 12345}, {"title": "must be a string"}),
        ({"title": "     "}, {"title": "must not be blank"}),
        ({"title": "\u200b\u2060 \u202e\u00a0"}, {"title": "must not be blank"}),
        ({"title": "nul \x00 here"}, {"title": "must not contain a NUL character"}),
        ({"content": None}, {"content": "must be a string"}),
        ({"content": "\ud800"}, {"content": "must be valid Unicode text"}),
        ({"end_at": VALID["start_at"]}, {"end_at": "must be later than start_at"}),
        ({"age_start": -1}, {"age_start": "must be from 0 to 100"}),
        ({"age_end": 101}, {"age_end": "must be from 0 to 100"}),
        ({"age_start": True}, {"age_start": "must be a whole number"}),
        ({"age_start": 2.0}, {"age_start": "must be a whole number"}),
        ({"age_start": 30, "age_end": 29}, {"age_end": "must not be less than age_start"}),
        ({"gender": "M"}, {"gender": "must be a list"}),
        ({"gender": ["X"]}, {"gender": "'X' is not M or F"}),
        ({"country": ["tw"]}, {"country": "'tw' is not an ISO 3166-1 alpha-2 country"}),
        ({"platform": [["ios"]]}, {"platform": "\"['ios']\" is not android, ios or web"}),
        ({"colour": "red"}, {"colour": "is not a field of an ad"}),
        (
            {"title": "no", "start_at": "soon"},
            {
                "title": "must have 5 to 100 characters, not 2",
                "start_at": "must be a time with its zone, such as 2026-01-31T18:00:00Z",
            },
        ),
        (
            {"title": "no", "end_at": VALID["start_at"], "age_start": 30, "age_end": 29},
            {
                "title": "must have 5 to 100 characters, not 2",
                "end_at": "must be later than start_at",
                "age_end": "must not be less than age_start",
            },
        ),
        (
            {"start_at": "soon", "end_at": "later", "age_start": 101, "age_end": 5},
            {
                "start_at": "must be a time with its zone, such as 2026-01-31T18:00:00Z",
                "end_at": "must be a time with its zone, such as 2026-01-31T18:00:00Z",
                "age_start": "must be from 0 to 100",
            },
        ),
    ],
)
def test_each_mistake_has_its_words(change: dict[str, object], errors: dict[str, str]) -> None:
    with pytest.raises(InvalidAdError) as caught:
        parse_fields({**VALID, **change})
    assert caught.value.errors == errors


@pytest.mark.parametrize("name", sorted(VALID))
def test_what_is_required(name: str) -> None:
    with pytest.raises(InvalidAdError) as caught:
        parse_fields({key: value for key, value in VALID.items() if key != name})
    assert caught.value.errors == {name: "is required"}


def test_defaults_borders_and_repeats() -> None:
    fields = parse_fields({**VALID, "title": "x" * 5, "country": ["TW", "JP", "TW"]})
    assert (fields.age_start, fields.age_end, fields.gender) == (0, 100, ())
    assert fields.country == ("TW", "JP")
    assert parse_fields({"title": "é" * 100}, base=fields).content == ""
    with pytest.raises(InvalidAdError, match=r"^age_end: must not be less than age_start$"):
        parse_fields({"age_end": 5}, base=parse_fields({**VALID, "age_start": 6}))
    with pytest.raises(InvalidAdError, match=r"^end_at: must be later than start_at$"):
        parse_fields({"start_at": fields.end_at}, base=fields)


def test_server_fields_of_an_ad_read_may_come_back() -> None:
    assert parse_fields({**VALID, "id": 1, "version": 2, "created_at": "", "state": "live"})


def test_countries_are_those_of_the_standard() -> None:
    assert set(countries.countries) == COUNTRIES
