"""How the admin's pages about people put things into words."""

from datetime import datetime

from commons.words import moment_words


def when_words(moment: datetime | None) -> str:
    """A time, to the minute; `never` for none."""
    return moment_words(moment, none="never")


def logged_out_words(ended: int) -> str:
    """That so many sessions were ended."""
    return "1 device logged out." if ended == 1 else f"{ended} devices logged out."
