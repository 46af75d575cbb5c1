"""How the pages put numbers, times and sizes into words."""

from datetime import UTC, datetime

from django.utils import timezone

_NS_PER_S = 1_000_000_000


def number_words(number: float) -> str:
    """A number with its thousands apart; below ten with one decimal, unless it is whole."""
    shown = f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"
    return shown.replace(",", "\u2009")


def moment_words(time_ns: int) -> str:
    """A time in the admin's zone, to the second."""
    local = timezone.localtime(datetime.fromtimestamp(time_ns // _NS_PER_S, UTC))
    return f"{local.day} {local:%b} {local:%H:%M:%S}"


def bytes_words(size_bytes: float) -> str:
    """A size: `812 B`, `3.2 MiB`."""
    size, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
