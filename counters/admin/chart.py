"""A counter's history as a chart of the theme, and as a table for who cannot see it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from django.utils import timezone

from commons.words import number_words
from counters.queries import Granularity, Window

_LABEL: dict[Granularity, str] = {"minute": "%H:%M", "hour": "%-d %b %H:%M", "day": "%-d %b"}
# Above, an axis would be wider than the chart on a phone.
_PLAIN_MAX = 10_000_000
_UNITS = ((10**6, "million"), (10**9, "billion"), (10**12, "trillion"), (10**15, "quadrillion"))
_TICKS_MAX = 8
_ROWS_MAX = 200


def chart(window: Window, grown: Mapping[datetime, int]) -> dict[str, Any]:
    """What the page's template needs: the chart's data, the sum, and the buckets that are not
    empty, newest first.
    """
    starts = window.starts()
    values = [grown.get(at, 0) for at in starts]
    size, unit = _unit(max(values))
    data = {
        "labels": [_label(at, window.granularity) for at in starts],
        "datasets": [
            {
                "label": f"Added in this {window.granularity}" + (f", {unit}" if unit else ""),
                "data": values if size == 1 else [value / size for value in values],
                "suffixYAxis": unit,
                "backgroundColor": "var(--color-primary-500)",
                "displayYAxis": True,
                "maxTicksXLimit": _TICKS_MAX,
                "maxBarThickness": 16,
                "borderRadius": 2,
            }
        ],
    }
    rows = [
        (_label(at, window.granularity), number_words(value))
        for at, value in zip(reversed(starts), reversed(values), strict=True)
        if value
    ]
    return {
        "chart": orjson.dumps(data).decode(),
        "granularity": window.granularity,
        "sum": number_words(sum(values)),
        "first": _label(starts[0], window.granularity),
        "last": _label(starts[-1], window.granularity),
        "rows": rows[:_ROWS_MAX],
        "more_rows": max(0, len(rows) - _ROWS_MAX),
    }


def _unit(largest: int) -> tuple[int, str]:
    """The unit in which the largest number has few digits, with its name."""
    if largest < _PLAIN_MAX:
        return 1, ""
    return max((each for each in _UNITS if each[0] <= largest), default=_UNITS[0])


def _label(at: datetime, granularity: Granularity) -> str:
    """Days are counted in UTC, so they are told in UTC."""
    local = at if granularity == "day" else timezone.localtime(at)
    return local.strftime(_LABEL[granularity])
