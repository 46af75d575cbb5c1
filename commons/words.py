"""How the admin's pages put numbers, times and sizes into words."""

from datetime import datetime
from decimal import Decimal

from django.utils import timezone

NONE = "—"


def moment_words(moment: datetime | None, *, none: str = NONE, seconds: bool = False) -> str:
    """A time in the admin's zone, to the minute or second: `21 Nov 2026 07:40`.

    In UTC where the calendar ends before the zone's clock does.
    """
    if moment is None:
        return none
    try:
        local = timezone.localtime(moment)
    except OverflowError:
        local = moment
    words = f"{local.day} {local:%b} {local.year:04d} {local:%H:%M}"
    return f"{words}:{local:%S}" if seconds else words


def number_words(number: float | Decimal | None) -> str:
    """A number with its thousands apart, where a line may break; below ten with one decimal,
    unless it is whole.
    """
    if number is None:
        return NONE
    if number == int(number):
        shown = f"{int(number):,}"
    else:
        shown = f"{number:,.0f}" if number >= 10 else f"{number:.1f}"
    return shown.replace(",", "\u2009")


def bytes_words(size_bytes: float | None) -> str:
    """A size: `812 B`, `3.2 MiB`; `unknown` for none."""
    if size_bytes is None:
        return "unknown"
    size, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"


def sentence(problem: str) -> str:
    """What is wrong with a field, as a sentence."""
    return f"{problem[:1].upper()}{problem[1:]}."
