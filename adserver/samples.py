"""Ads to begin with: a few that show what targeting does, and any number for load and tests."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

from adserver.records import AdFields

_SAMPLES: list[tuple[str, str, dict[str, Any]]] = [
    ("Summer sale: half price on everything", "Ends when the shelves are empty.", {}),
    ("Night market guide Taipei", "Forty stalls, one evening.", {"country": ("TW",)}),
    ("Bubble tea club", "Every tenth cup is on us.", {"age_start": 16, "age_end": 35}),
    ("City marathon registration", "Run it, walk it, finish it.", {"age_start": 18}),
    ("Spring collection for her", "New arrivals every Friday.", {"gender": ("F",)}),
    ("Beard oil starter kit", "Three scents, one comb.", {"gender": ("M",)}),
    ("Photo editor for iPhone", "Free for seven days.", {"platform": ("ios",)}),
    ("Launcher for Android", "Your phone, tidied up.", {"platform": ("android",)}),
    ("Play chess in the browser", "No download needed.", {"platform": ("web",)}),
    (
        "Mobile game: Harbour Tycoon",
        "Build the busiest port of the strait.",
        {"platform": ("android", "ios"), "country": ("TW", "JP", "HK"), "age_end": 60},
    ),
    (
        "Skin care trial set",
        "Ten days, four products.",
        {"gender": ("F",), "country": ("TW", "JP", "KR"), "age_start": 20, "age_end": 45},
    ),
    ("Retirement planner", "An hour today, calm tomorrow.", {"age_start": 50}),
    ("Language exchange Tokyo", "Speak, listen, eat.", {"country": ("JP",)}),
    ("Weekend trains of Europe", "Nine cities, one ticket.", {"country": ("DE", "FR", "IT")}),
]
_COUNTRIES = ("TW", "JP", "US", "HK", "KR", "DE")
_WORDS = (
    "coffee bicycle lantern harbour ticket garden winter summer market camera river guitar "
    "mountain island kitchen travel fitness fashion museum concert puzzle rocket paper orchid"
).split()


def sample_ads(now: datetime) -> list[AdFields]:
    """The first ads of a new installation: live, one scheduled for next week."""
    day = timedelta(days=1)
    ads = [
        AdFields(
            title=title, content=content, start_at=now - day, end_at=now + (30 + i) * day, **fields
        )
        for i, (title, content, fields) in enumerate(_SAMPLES)
    ]
    next_week = AdFields(
        title="Pre-order opens next week",
        content="Be the first to know.",
        start_at=now + 7 * day,
        end_at=now + 60 * day,
    )
    return [*ads, next_week]


def random_ads(*, count: int, now: datetime, seed: int = 0) -> Iterator[AdFields]:
    """`count` ads that are live at `now`, the same ones for the same `seed`.

    Ends lie between one day and a year ahead; ages, genders, platforms and six countries are
    targeted by about half of the ads each.
    """
    random = Random(seed)  # noqa: S311 - made-up ads, not secrets
    for number in range(count):
        first = random.choice((0, random.randint(1, 60)))
        words = " ".join(random.sample(_WORDS, 3))
        yield AdFields(
            title=f"Ad {number} {words}",
            content=" ".join(random.choices(_WORDS, k=12)),
            start_at=now - timedelta(seconds=random.randint(1, 86_400)),
            end_at=now + timedelta(seconds=random.randint(86_400, 31_536_000)),
            age_start=first,
            age_end=min(100, first + random.randint(10, 60)) if first else 100,
            gender=random.choice(((), ("F",), ("M",), ("F", "M"))),
            country=_some(random, _COUNTRIES),
            platform=_some(random, ("android", "ios", "web")),
        )


def _some(random: Random, values: tuple[str, ...]) -> tuple[str, ...]:
    if random.random() < 0.5:
        return ()
    return tuple(random.sample(values, random.randint(1, len(values))))
