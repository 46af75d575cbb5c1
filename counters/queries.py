"""What may be asked about counters: keys, and a window of their history. Pure, for every door."""

from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, cast, get_args
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec

from runtime.http.parameters import parameters_of

Granularity = Literal["minute", "hour", "day"]
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
GRANULARITY_DEFAULT: Granularity = "hour"
STEP: dict[Granularity, timedelta] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
KEYS_MAX = 1_000
BUCKETS_MAX = 10_000
# How much is told when nobody says since when.
BUCKETS_DEFAULT: dict[Granularity, int] = {"minute": 60, "hour": 48, "day": 30}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Beyond, adding a step may leave the calendar.
_YEARS = range(1, 9999)


class InvalidQuestionError(ValueError):
    """Something cannot be asked so; the message names the parameter."""


class Window(NamedTuple):
    """Which part of a history: whole buckets of one granularity, from `start` to before `end`."""

    granularity: Granularity
    start: datetime
    end: datetime

    def starts(self) -> list[datetime]:
        """When each bucket begins."""
        step = STEP[self.granularity]
        count = (self.end - self.start) // step
        return [self.start + number * step for number in range(count)]


def parse_key(text: str, name: str = "key") -> UUID:
    """The UUID that a text means, as it does in an increment."""
    try:
        return msgspec.convert(text, UUID)
    except msgspec.ValidationError:
        raise InvalidQuestionError(f"{name}: must be a UUID") from None


def parse_keys(query: bytes) -> list[UUID]:
    """The keys of `key=…&key=…`, 1 to 1 000, in the order given; other parameters are ignored."""
    pairs = parse_qsl(query.decode(errors="replace"), keep_blank_values=True)
    texts = [value for name, value in pairs if name == "key"]
    if not texts:
        raise InvalidQuestionError("key: is required, once for each counter")
    if len(texts) > KEYS_MAX:
        raise InvalidQuestionError(f"key: is given {len(texts)} times, {KEYS_MAX} are the most")
    if len(texts) == 1:
        return [parse_key(texts[0])]
    return [parse_key(text, f"key[{number}]") for number, text in enumerate(texts)]


def parse_window(query: bytes, *, now: datetime) -> Window:
    """`granularity`, `start` and `end`, each optional; widened to whole buckets."""
    given = parameters_of(query, ("granularity", "start", "end"), InvalidQuestionError)
    granularity = cast("Granularity", given.get("granularity", GRANULARITY_DEFAULT))
    if granularity not in GRANULARITIES:
        raise InvalidQuestionError("granularity: must be minute, hour or day")
    step = STEP[granularity]
    end = _moment(given, "end") or now
    start = _moment(given, "start") or end - BUCKETS_DEFAULT[granularity] * step
    if start >= end:
        raise InvalidQuestionError("start: must be earlier than end")
    first, last = _floor(start, step), _floor(end, step)
    window = Window(granularity, first, last if last == end else last + step)
    if (window.end - window.start) // step > BUCKETS_MAX:
        raise InvalidQuestionError(
            f"start: is more than {BUCKETS_MAX} {granularity}s earlier than end"
        )
    return window


def _moment(given: dict[str, str], name: str) -> datetime | None:
    text = given.get(name)
    if text is None:
        return None
    moment = _parse(text)
    if moment is None:
        raise InvalidQuestionError(
            f"{name}: must be a time with its zone, such as 2026-01-31T08:00:00Z"
            " (a plus sign is written %2B)"
        )
    return moment


def _parse(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        usual = moment.tzinfo is not None and moment.year in _YEARS
        return moment.astimezone(UTC) if usual else None
    except (ValueError, OverflowError):
        return None


def _floor(moment: datetime, step: timedelta) -> datetime:
    return moment - (moment - _EPOCH) % step
