"""`manage.py changelog_trim --before`: keeps the change log from growing for ever."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from adserver.records import parse_time
from adserver.selectors import trimmable_changes
from adserver.services import changelog_trim
from commons.commands import clear_errors

_AGE = re.compile(r"(\d{1,6})([mhdw])", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Command(BaseCommand):
    help = "Deletes old log entries, never the newest one of an ad."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--before",
            required=True,
            help="an age (90d; m, h, d or w), a date (2026-01-31, UTC) or a time",
        )
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def handle(self, *args: Any, before: str, dry_run: bool, **options: Any) -> None:
        moment = _moment(before, timezone.now())
        with clear_errors():
            if dry_run:
                count = trimmable_changes(moment).count()
                self.stdout.write(f"{count} entries would be deleted")
            else:
                self.stdout.write(f"{changelog_trim(before=moment)} entries deleted")


def _moment(text: str, now: datetime) -> datetime:
    """The moment that `--before` means; CommandError says what is wrong with it."""
    try:
        if match := _AGE.fullmatch(text):
            return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
        if _DATE.fullmatch(text):
            moment = datetime.combine(date.fromisoformat(text), time(), UTC)
        else:
            moment = parse_time(text)
    except (ValueError, OverflowError):
        raise CommandError(
            f"--before: {text!r} is no age such as 90d, date such as 2026-01-31, or time"
        ) from None
    if moment > now:
        raise CommandError("--before: lies in the future")
    return moment
