"""What may be asked: from the text of a query's parameters to a checked query, without Django."""

from collections.abc import Callable
from typing import NamedTuple

from runtime.http.parameters import parameters_of
from timeseries.records import (
    AGGREGATES,
    SAMPLES_DEFAULT,
    SAMPLES_MAX,
    TAG_CHARACTERS_MAX,
    TIME_MAX_NS,
    Aggregate,
    Query,
)

_DIGITS_MAX = 20
_NS_PER_S = 1_000_000_000


class InvalidQueryError(ValueError):
    """A parameter is not as it should be; the message names it."""


class Span(NamedTuple):
    """A tag and an interval: start before end, nanoseconds since 1970."""

    tag: str
    start_ns: int
    end_ns: int


class Reach:
    """How far back may be asked: the retention, and a grace for the time that a request takes.

    `now_ns` is our clock, in nanoseconds since 1970.
    """

    def __init__(self, *, retention_s: float, grace_s: float, now_ns: Callable[[], int]) -> None:
        self._past_ns = int((retention_s + grace_s) * _NS_PER_S)
        self._words = f"start: must not be further back than the retention, {retention_s:g} s"
        self._now_ns = now_ns

    def oldest_ns(self) -> int:
        """The earliest start that may be asked for now."""
        return max(0, self._now_ns() - self._past_ns)

    def check(self, start_ns: int) -> None:
        """InvalidQueryError when nothing is kept from so long ago."""
        if start_ns < self.oldest_ns():
            raise InvalidQueryError(self._words)


def given_parameters(query: bytes, names: tuple[str, ...]) -> dict[str, str]:
    """The parameters of these names that have a value; InvalidQueryError if one is repeated."""
    return parameters_of(query, names, InvalidQueryError)


def read_query(query: bytes, reach: Reach) -> Query:
    """The query of `GET /api`; InvalidQueryError names the parameter that is missing or bad."""
    given = given_parameters(query, ("tag", "start", "end", "samples", "agg"))
    span = read_span(given, reach)
    samples = SAMPLES_DEFAULT
    if "samples" in given:
        samples = read_number(given["samples"], "samples", 1, SAMPLES_MAX)
    return Query(span.tag, span.start_ns, span.end_ns, samples, read_aggregate(given))


def read_span(given: dict[str, str], reach: Reach) -> Span:
    """Tag and interval; InvalidQueryError names what is missing or bad."""
    if "tag" not in given:
        raise InvalidQueryError("tag: is required")
    tag = read_tag(given["tag"])
    times_ns = []
    for name in ("start", "end"):
        if name not in given:
            raise InvalidQueryError(f"{name}: is required")
        times_ns.append(read_number(given[name], name, 0, TIME_MAX_NS))
    start_ns, end_ns = times_ns
    if start_ns >= end_ns:
        raise InvalidQueryError("start: must be before end")
    reach.check(start_ns)
    return Span(tag, start_ns, end_ns)


def read_tag(text: str) -> str:
    """The tag; InvalidQueryError unless it is one that a measurement may have."""
    if not 1 <= len(text) <= TAG_CHARACTERS_MAX or "\x00" in text:
        raise InvalidQueryError(f"tag: must have 1 to {TAG_CHARACTERS_MAX} characters")
    return text


def read_aggregate(given: dict[str, str]) -> Aggregate:
    """The parameter `agg`, or its default; InvalidQueryError unless there is such an aggregate."""
    asked = given.get("agg", AGGREGATES[0])
    for each in AGGREGATES:
        if each == asked:
            return each
    raise InvalidQueryError(f"agg: must be one of {', '.join(AGGREGATES)}")


def read_number(text: str, name: str, least: int, most: int) -> int:
    """A whole number from `least` to `most`; InvalidQueryError names the parameter."""
    digits = text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX
    if not digits or not least <= int(text) <= most:
        raise InvalidQueryError(f"{name}: must be a whole number from {least} to {most}")
    return int(text)
