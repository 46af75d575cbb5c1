"""A tag as a chart of the theme, and as a table for who cannot see it."""

import time
from typing import Any

import orjson

from timeseries.admin.words import time_words
from timeseries.records import Query, Series
from timeseries.selectors import ask_store

SPANS_S = {"10 min": 600, "1 h": 3_600, "6 h": 21_600, "24 h": 86_400}
_SAMPLES = 120
_LINES_MAX = 10
_ROWS = 30
_NS_PER_S = 1_000_000_000
# Apart in lightness as well as in hue.
_COLORS = (
    *("#0d9488", "#b45309", "#4f46e5", "#be123c", "#4d7c0f"),
    *("#0369a1", "#a21caf", "#57534e", "#ea580c", "#15803d"),
)


def chart(tag: str, span: str) -> dict[str, Any]:
    """The tag's data, and rows, newest first. UnknownTagError, StoreAwayError."""
    end_ns = time.time_ns()
    query = Query(tag, end_ns - SPANS_S[span] * _NS_PER_S, end_ns, _SAMPLES, "last")
    series = ask_store(lambda reader: reader.sample(query))
    width = max((len(each.values) for each in series.samples if each.values), default=0)
    labels = [time_words(each.time) for each in series.samples]
    rows = [
        (time_words(each.time), ", ".join(f"{value:g}" for value in each.values))
        for each in reversed(series.samples)
        if each.values
    ]
    lines = [_line(series, place) for place in range(min(width, _LINES_MAX))]
    return {
        "chart": orjson.dumps({"labels": labels, "datasets": lines}).decode(),
        "rows": rows[:_ROWS],
        "hidden": max(0, width - _LINES_MAX),
    }


def _line(series: Series, place: int) -> dict[str, Any]:
    values = [
        each.values[place] if each.values and len(each.values) > place else None
        for each in series.samples
    ]
    return {
        "label": f"value {place + 1}",
        "data": values,
        "borderColor": _COLORS[place],
        "displayYAxis": True,
        "maxTicksXLimit": 6,
        "pointRadius": 0,
    }
