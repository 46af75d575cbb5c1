"""Ads as clients send them: a good one, and each mistake with the words it gets."""

from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


def ad_body(**changes: Any) -> dict[str, Any]:
    """A valid ad that is live for a day, as a client sends it."""
    body = {
        "title": "A good title",
        "content": "Words",
        "start_at": (NOW - DAY).isoformat(),
        "end_at": (NOW + DAY).isoformat(),
    }
    return body | changes


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"title": "four"}, "title: must have 5 to 100 characters, not 4"),
    ({"title": "x" * 101}, "title: must have 5 to 100 characters, not 101"),
    ({"title": 12345}, "title: must be a string"),
    ({"title": " " * 9}, "title: must not be blank"),
    ({"title": "a\x00bcdef"}, "title: must not contain a NUL character"),
    ({"title": "alone \ud800"}, "title: must be valid Unicode text"),
    ({"content": None}, "content: must be a string"),
    ({"content": "x" * 65_537}, "content: must have 0 to 65536 characters, not 65537"),
    (
        {"start_at": "yesterday"},
        "start_at: must be a time with its zone, such as 2026-01-31T18:00:00Z",
    ),
    (
        {"start_at": "2026-01-31T18:00:00"},
        "start_at: must be a time with its zone, such as 2026-01-31T18:00:00Z",
    ),
    ({"end_at": "2026-02-30T00:00:00Z"}, "end_at: is not a time that exists"),
    ({"end_at": "2026-02-30 00:00:00 +0800 CST"}, "end_at: is not a time that exists"),
    (
        {"end_at": NOW.timestamp()},
        "end_at: must be a time with its zone, such as 2026-01-31T18:00:00Z",
    ),
    ({"end_at": (NOW - DAY).isoformat()}, "end_at: must be later than start_at"),
    ({"age_start": -1}, "age_start: must be from 0 to 100"),
    ({"age_end": 101}, "age_end: must be from 0 to 100"),
    ({"age_start": "18"}, "age_start: must be a whole number"),
    ({"age_start": 18.0}, "age_start: must be a whole number"),
    ({"age_start": True}, "age_start: must be a whole number"),
    ({"age_end": 10**30}, "age_end: must be from 0 to 100"),
    ({"age_start": 40, "age_end": 39}, "age_end: must not be less than age_start"),
    ({"gender": ["X"]}, "gender: 'X' is not M or F"),
    ({"gender": "M"}, "gender: must be a list"),
    ({"country": ["TW", "XX"]}, "country: 'XX' is not an ISO 3166-1 alpha-2 country"),
    ({"country": {"TW": 1}}, "country: must be a list"),
    ({"platform": ["IOS"]}, "platform: 'IOS' is not android, ios or web"),
    ({"platform": [["ios"]]}, "platform: \"['ios']\" is not android, ios or web"),
    ({"contry": ["TW"]}, "contry: is not a field of an ad"),
]
