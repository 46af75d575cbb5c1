"""How the pages put times and lags into words."""

from datetime import datetime

from commons.words import moment_words

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400
_TEN = 10


def second_words(moment: datetime | None) -> str:
    """A time in the admin's zone, to the second."""
    return moment_words(moment, seconds=True)


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
