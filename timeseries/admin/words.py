"""How the pages put a measurement's time into words."""

from datetime import UTC, datetime

from commons.words import moment_words

_NS_PER_S = 1_000_000_000


def time_words(time_ns: int) -> str:
    """A time in the admin's zone, to the second."""
    return moment_words(datetime.fromtimestamp(time_ns // _NS_PER_S, UTC), seconds=True)
