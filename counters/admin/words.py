"""How the pages put numbers, times and lags into words."""

from datetime import datetime
from decimal import Decimal

from django.utils import timezone

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400
_TEN = 10


def number_words(number: int | Decimal | None) -> str:
    """A whole number with its thousands apart, where a line may break; `—` for none."""
    return "—" if number is None else f"{int(number):,}".replace(",", "\u2009")


def moment_words(moment: datetime | None) -> str:
    """A time in the admin's zone, to the second; `—` for none."""
    if moment is None:
        return "—"
    local = timezone.localtime(moment)
    return f"{local.day} {local:%b} {local.year:04d} {local:%H:%M:%S}"


def seconds_words(seconds: float | None) -> str:
    """A length of time: `0.4 s`, `12 s`, `3 min`, `5 h`, `2 days`; `unknown` for none."""
    if seconds is None:
        return "unknown"
    seconds = max(0.0, seconds)
    if seconds < _TEN:
        return f"{seconds:.1f} s"
    for size_s, unit in ((_DAY_S, "days"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= 2 * size_s:
            return f"{int(seconds // size_s)} {unit}"
    return f"{int(seconds)} s"


def bytes_words(size_bytes: int | None) -> str:
    """A size: `812 B`, `3.2 MiB`; `unknown` for none."""
    if size_bytes is None:
        return "unknown"
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
