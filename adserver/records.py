"""The ad as every layer sees it, and the one place that decides what a valid ad is.

Pure: the API, the admin form, the CSV import and the commands all validate through here, so
that the same mistake gets the same words everywhere.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from adserver.countries import COUNTRIES

GENDERS = ("M", "F")
PLATFORMS = ("android", "ios", "web")
# What a value must be, in the words of every error.
GENDER_WORDS, PLATFORM_WORDS = "M or F", "android, ios or web"
COUNTRY_WORDS = "an ISO 3166-1 alpha-2 country"
TITLE_CHARACTERS = (5, 100)
CONTENT_CHARACTERS_MAX = 65_536
AGE_MIN, AGE_MAX = 0, 100
VISITOR_AGE_MAX = 255
FIELDS = (
    "title",
    "content",
    "start_at",
    "end_at",
    "age_start",
    "age_end",
    "gender",
    "country",
    "platform",
)
SERVER_FIELDS = ("id", "version", "created_at", "updated_at", "state")

# "2006-01-02 15:04:05 +0800 CST", what Go prints for a time: the zone's name is decoration.
_GO_LAYOUT = re.compile(
    r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,9})?) ([+-]\d\d)([0-5]\d)"
    r"(?: [A-Z]{1,5}| [+-]\d\d(?:\d\d)?)?",
    re.ASCII,
)
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:[0-5]\d)", re.ASCII
)


class InvalidAdError(ValueError):
    """The fields do not make an ad. `errors` maps a field's name to what is wrong with it."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        self.errors = dict(errors)
        super().__init__("; ".join(f"{field}: {msg}" for field, msg in self.errors.items()))


class Actor(msgspec.Struct, frozen=True):
    """Who makes a change: a user (by primary key), or a part of the system with `user_id` None."""

    label: str
    user_id: int | None = None


class AdFields(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator decides about an ad. Times are aware and in UTC, lists have no repeats."""

    title: str
    content: str
    start_at: datetime
    end_at: datetime
    age_start: int = AGE_MIN
    age_end: int = AGE_MAX
    gender: tuple[str, ...] = ()
    country: tuple[str, ...] = ()
    platform: tuple[str, ...] = ()


class AdRecord(msgspec.Struct, frozen=True):
    """One ad as it is served; the order of the fields is the order in the JSON."""

    id: UUID
    title: str
    content: str
    start_at: datetime
    end_at: datetime
    age_start: int
    age_end: int
    gender: tuple[str, ...]
    country: tuple[str, ...]
    platform: tuple[str, ...]
    version: int
    created_at: datetime


class StoredAd(NamedTuple):
    """An ad as it stands in the table; `closed_at` when it was closed at its end."""

    record: AdRecord
    updated_at: datetime
    closed_at: datetime | None = None

    @property
    def id(self) -> UUID:
        """Of the ad."""
        return self.record.id

    @property
    def version(self) -> int:
        """The catalog's version with the ad as it stands here."""
        return self.record.version


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AdRecord).decode


def render(record: AdRecord) -> bytes:
    """The ad's JSON, as it stands in every answer. Times are RFC 3339 in UTC, `Z` at the end."""
    return _encode(record)


def parse_record(data: bytes | str) -> AdRecord:
    """The reverse of `render`, for log entries. msgspec.ValidationError on anything else."""
    return _decode(data)


_TIME_WORDS = "must be a time with its zone, such as 2026-01-31T18:00:00Z"


def parse_time(value: object) -> datetime:
    """An aware UTC time from RFC 3339, from Go's layout, or from an aware datetime.

    ValueError says what is wrong. Fractions are cut to microseconds, what PostgreSQL keeps.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(_TIME_WORDS)
        return value.astimezone(UTC)
    if not isinstance(value, str):
        raise ValueError(_TIME_WORDS)  # noqa: TRY004
    text = value.strip()
    if match := _RFC3339.fullmatch(text):
        day, clock, fraction, zone = match.groups()
        text = f"{day}T{clock}{(fraction or '')[:7]}{'+00:00' if zone in 'Zz' else zone}"
    elif match := _GO_LAYOUT.fullmatch(text):
        day, clock, hours, minutes = match.groups()
        text = f"{day}T{clock[:15]}{hours}:{minutes}"
    else:
        raise ValueError(_TIME_WORDS)
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is not a time that exists") from None


def _text(value: object, *, shortest: int, longest: int) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004
    if not shortest <= len(value) <= longest:
        raise ValueError(f"must have {shortest} to {longest} characters, not {len(value)}")
    if "\x00" in value:
        raise ValueError("must not contain a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode text") from None
    return value


def _title(value: object) -> str:
    text = _text(value, shortest=TITLE_CHARACTERS[0], longest=TITLE_CHARACTERS[1])
    # Spaces, and what shows as nothing at all: such an ad could not be found in a list.
    if not any(sign.isprintable() and not sign.isspace() for sign in text):
        raise ValueError("must not be blank")
    return text


def _content(value: object) -> str:
    return _text(value, shortest=0, longest=CONTENT_CHARACTERS_MAX)


def _age(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number")  # noqa: TRY004
    if not AGE_MIN <= value <= AGE_MAX:
        raise ValueError(f"must be from {AGE_MIN} to {AGE_MAX}")
    return value


def _choices(allowed: Sequence[str] | frozenset[str], what: str) -> Callable[[object], Any]:
    def parse(value: object) -> tuple[str, ...]:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ValueError("must be a list")  # noqa: TRY004
        for item in value:
            if not isinstance(item, str) or item not in allowed:
                raise ValueError(f"{str(item)[:40]!r} is not {what}")
        return tuple(dict.fromkeys(value))

    return parse


_PARSERS: dict[str, Callable[[object], Any]] = {
    "title": _title,
    "content": _content,
    "start_at": parse_time,
    "end_at": parse_time,
    "age_start": _age,
    "age_end": _age,
    "gender": _choices(GENDERS, GENDER_WORDS),
    "country": _choices(COUNTRIES, COUNTRY_WORDS),
    "platform": _choices(PLATFORMS, PLATFORM_WORDS),
}
_REQUIRED = ("title", "content", "start_at", "end_at")


def parse_fields(raw: Mapping[str, object], *, base: AdFields | None = None) -> AdFields:
    """An ad's fields from untrusted input; with `base`, fields that `raw` leaves out keep theirs.

    What the server decides (`id`, `version`, …) may be present and is ignored, so that an ad read
    may be sent back; any other unknown field is refused, since a mistyped condition would show
    the ad to everybody. InvalidAdError names every bad field at once.
    """
    values: dict[str, Any] = msgspec.structs.asdict(base) if base is not None else {}
    errors: dict[str, str] = {}
    for name, item in raw.items():
        if name in _PARSERS:
            try:
                values[name] = _PARSERS[name](item)
            except ValueError as error:
                errors[name] = str(error)
        elif name not in SERVER_FIELDS:
            errors[str(name)[:40] or '""'] = "is not a field of an ad"
    for name in _REQUIRED:
        if name not in values and name not in errors:
            errors[name] = "is required"
    # Of good fields only: what an unreadable one was meant to be, nobody knows.
    whole = {"age_start": AGE_MIN, "age_end": AGE_MAX, **values}
    good = {name: item for name, item in whole.items() if name not in errors}
    if good.keys() >= {"start_at", "end_at"} and good["start_at"] >= good["end_at"]:
        errors["end_at"] = "must be later than start_at"
    if good.keys() >= {"age_start", "age_end"} and good["age_start"] > good["age_end"]:
        errors["age_end"] = "must not be less than age_start"
    if errors:
        raise InvalidAdError(errors)
    return AdFields(**values)


def fields_of(record: AdRecord) -> AdFields:
    """The part of an ad that an operator decides."""
    return msgspec.convert(record, AdFields, from_attributes=True)


def state_at(moment: datetime, start_at: datetime, end_at: datetime) -> str:
    """`scheduled`, `live` or `ended`."""
    if moment < start_at:
        return "scheduled"
    return "live" if moment < end_at else "ended"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def epoch_us(moment: datetime) -> int:
    """Microseconds since the epoch, exactly (a float would round)."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
