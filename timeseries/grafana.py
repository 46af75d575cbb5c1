"""The shapes that Grafana's JSON and Infinity data sources write and read. Pure.

Infinity asks `GET rows?tag=a&tag=b&from=<ms>&to=<ms>` and gets flat rows: `time` in milliseconds,
the tag, and `value1`, `value2` … The JSON data source posts a panel's targets and gets
`[{"target", "datapoints": [[value, ms], …]}]`, one series for each element of the values.

A dashboard may well look back further than the retention: it gets what there is.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from timeseries.queries import (
    InvalidQueryError,
    Reach,
    given_parameters,
    read_aggregate,
    read_number,
    read_tag,
)
from timeseries.records import (
    AGGREGATES,
    SAMPLES_DEFAULT,
    SAMPLES_MAX,
    TIME_MAX_NS,
    VALUES_MAX,
    Aggregate,
    Query,
    Series,
)

TAGS_MAX = 20
_NS_PER_MS = 1_000_000
_VALUE_NAMES = [f"value{place}" for place in range(1, VALUES_MAX + 1)]


class _Options(msgspec.Struct):
    """What a person can add to a target: the aggregate, and one element of the values, from 1."""

    agg: Aggregate = AGGREGATES[0]
    element: Annotated[int, msgspec.Meta(ge=1, le=VALUES_MAX)] | None = None


class _Target(msgspec.Struct):
    # Grafana sends targets that nobody has filled in yet, and payloads that are empty texts.
    target: str = ""
    payload: _Options | str | None = None
    hide: bool = False


class _Range(msgspec.Struct):
    start: datetime = msgspec.field(name="from")
    end: datetime = msgspec.field(name="to")


class _Panel(msgspec.Struct, rename="camel"):
    range: _Range
    targets: Annotated[list[_Target], msgspec.Meta(max_length=TAGS_MAX)]
    max_data_points: Annotated[int, msgspec.Meta(ge=1)] = SAMPLES_DEFAULT


class Asked(NamedTuple):
    """One target of a panel: the query, and the element it wants, from 1, or None for all."""

    query: Query
    element: int | None


_decode_panel = msgspec.json.Decoder(_Panel).decode


def read_rows_query(query: bytes, reach: Reach) -> list[Query]:
    """The queries of `GET rows`, one a tag; InvalidQueryError names the parameter."""
    given = given_parameters(query, ("from", "to", "samples", "agg"))
    pairs = parse_qsl(query.decode(errors="replace"), keep_blank_values=True)
    tags = list(dict.fromkeys(value for name, value in pairs if name == "tag"))
    if not 1 <= len(tags) <= TAGS_MAX:
        raise InvalidQueryError(f"tag: must be given 1 to {TAGS_MAX} times")
    start_ns, end_ns = (
        read_number(given.get(name, ""), name, 0, TIME_MAX_NS // _NS_PER_MS) * _NS_PER_MS
        for name in ("from", "to")
    )
    samples = read_number(given.get("samples", str(SAMPLES_DEFAULT)), "samples", 1, SAMPLES_MAX)
    aggregate = read_aggregate(given)
    return [_query(read_tag(tag), start_ns, end_ns, samples, aggregate, reach) for tag in tags]


def read_panel(body: bytes, reach: Reach) -> list[Asked]:
    """What a panel's JSON asks for; InvalidQueryError names what is wrong with it."""
    try:
        panel = _decode_panel(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidQueryError(f"body: {error}") from None
    start_ns, end_ns = _ns(panel.range.start), _ns(panel.range.end)
    samples = min(panel.max_data_points, SAMPLES_MAX)
    asked = []
    for each in panel.targets:
        if each.hide or not each.target:
            continue
        options = each.payload if isinstance(each.payload, _Options) else _Options()
        tag = read_tag(each.target)
        query = _query(tag, start_ns, end_ns, samples, options.agg, reach)
        asked.append(Asked(query, options.element))
    return asked


def rows(series: Series) -> Iterator[dict[str, Any]]:
    """Flat rows, one a sample that has values."""
    for sample in series.samples:
        if sample.values is not None:
            row: dict[str, Any] = {"time": sample.time // _NS_PER_MS, "tag": series.tag_name}
            row.update(zip(_VALUE_NAMES, sample.values, strict=False))
            yield row


def lines(asked: Asked, series: Series) -> Iterator[tuple[str, Iterator[list[float]]]]:
    """A target's name and `[value, ms]` pairs for each element of it: `a`, or `a 2` where there are
    several.
    """
    points = [
        (each.time // _NS_PER_MS, each.values) for each in series.samples if each.values is not None
    ]
    width = max((len(values) for _, values in points), default=0)
    elements = range(1, width + 1) if asked.element is None else (asked.element,)
    for element in elements:
        name = series.tag_name if width <= 1 else f"{series.tag_name} {element}"
        yield name, _pairs(points, element - 1)


def _pairs(points: Iterable[tuple[int, Sequence[float]]], place: int) -> Iterator[list[float]]:
    return ([values[place], ms] for ms, values in points if len(values) > place)


def _query(
    tag: str, start_ns: int, end_ns: int, samples: int, aggregate: Aggregate, reach: Reach
) -> Query:
    start_ns = max(start_ns, reach.oldest_ns())
    if start_ns >= end_ns:
        raise InvalidQueryError("from: must be before to, and what lies between still be kept")
    return Query(tag, start_ns, end_ns, samples, aggregate)


def _ns(moment: datetime) -> int:
    """Nanoseconds since 1970; InvalidQueryError for a time without a zone, or before."""
    if moment.tzinfo is None:
        raise InvalidQueryError("range: times must have a time zone")
    ns = int(moment.timestamp() * 1_000) * _NS_PER_MS
    if not 0 <= ns <= TIME_MAX_NS:
        raise InvalidQueryError("range: times must be from 1970 to 2262")
    return ns
