"""How the pages say lengths of time."""

import math
from datetime import datetime, timedelta

from django.utils import timezone

_UNITS_S = (("day", 86_400), ("hour", 3600), ("minute", 60))


def ago_words(moment: datetime) -> str:
    """How long ago something was, such as `5 minutes ago`; `just now` within a minute."""
    past_s = int((timezone.now() - moment).total_seconds())
    for unit, unit_s in _UNITS_S:
        if past_s >= unit_s:
            return f"{_many(past_s // unit_s, unit)} ago"
    return "just now"


def wait_words(wait_s: float) -> str:
    """How long to wait, rounded up: `45 seconds`, `3 minutes`, `2 hours`."""
    left = timedelta(seconds=max(1, math.ceil(wait_s)))
    for unit, unit_s in _UNITS_S:
        if left > timedelta(seconds=unit_s):
            return _many(math.ceil(left.total_seconds() / unit_s), unit)
    return _many(int(left.total_seconds()), "second")


def _many(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
