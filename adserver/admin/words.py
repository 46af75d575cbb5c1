"""How the admin's pages put an ad into words: its targeting, its flight, its state."""

from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.http import HttpRequest
from django.utils.html import format_html
from django_countries import countries

from adserver.models import Ad
from adserver.records import AGE_MAX, AGE_MIN, Actor, AdFields, AdRecord, parse_time
from commons.words import moment_words

GENDER_NAMES = {"F": "Female", "M": "Male"}
PLATFORM_NAMES = {"android": "Android", "ios": "iOS", "web": "Web"}
_COUNTRIES_SHOWN = 3
_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60


def actor_of(request: HttpRequest) -> Actor:
    """The person behind a request, as the change log names them."""
    return Actor(label=request.user.get_username(), user_id=request.user.pk)


@cache
def country_choices() -> list[tuple[str, str]]:
    """Every country by name, its code behind it, so that a search finds either."""
    return [(code, f"{name} ({code})") for code, name in countries]


def targeting_words(ad: Ad | AdFields | AdRecord) -> str:
    """Whom an ad is for, in short: `18–35 · F · TW, JP, HK +2 · ios`, or `Everybody`."""
    words = []
    if (ad.age_start, ad.age_end) != (AGE_MIN, AGE_MAX):
        words.append(age_words(ad.age_start, ad.age_end))
    words.append(", ".join(ad.gender))
    countries_shown = ", ".join(ad.country[:_COUNTRIES_SHOWN])
    more = len(ad.country) - _COUNTRIES_SHOWN
    words.append(f"{countries_shown} +{more}" if more > 0 else countries_shown)
    words.append(", ".join(ad.platform))
    return " · ".join(word for word in words if word) or "Everybody"


def age_words(first: int, last: int) -> str:
    """A range of ages: `18–35`, `50+`, `up to 17`, `18`."""
    if first == last:
        return str(first)
    if last == AGE_MAX:
        return f"{first}+"
    return f"up to {last}" if first == AGE_MIN else f"{first}–{last}"


def distance_words(distance: timedelta) -> str:
    """A length of time in its largest unit: `3 days`, `1 hour`, `less than a minute`."""
    seconds = abs(distance.total_seconds())
    for size_s, unit in ((_DAY_S, "day"), (_HOUR_S, "hour"), (_MINUTE_S, "minute")):
        if seconds >= size_s:
            number = int(seconds // size_s)
            return f"{number:,} {unit}{'s' if number > 1 else ''}"
    return "less than a minute"


def clock_words(ad: Ad, now: datetime) -> str:
    """What the clock will do, or did, to an ad: `starts in 3 days`, `ended 2 hours ago`."""
    if now < ad.start_at:
        return f"starts in {distance_words(ad.start_at - now)}"
    if now < ad.end_at:
        return f"ends in {distance_words(ad.end_at - now)}"
    return f"ended {distance_words(now - ad.end_at)} ago"


def state_badge(state: str) -> str:
    """The state as a coloured word."""
    return format_html('<span class="ah-badge ah-badge-{}">{}</span>', state, state)


def value_words(name: str, value: Any) -> str:
    """A field's value out of the change log, for people. `None`: there was no ad."""
    if value is None:
        return "—"
    if name in ("start_at", "end_at"):
        moment = parse_time(value)
        return moment_words(moment, seconds=True)
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "everybody"
    return str(value) if value != "" else "(empty)"
