"""`manage.py counters_export`: every total as CSV, in the order of the keys."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from psycopg import IsolationLevel

from commons.commands import clear_errors
from commons.connecting import connect
from runtime.progress import Advance, progress

# Of one snapshot, streamed: a hundred million totals take no more memory than one.
_COPY_SQL = """
    COPY (SELECT key, value, updated_at FROM counters_counter ORDER BY key)
    TO STDOUT (FORMAT csv, HEADER)
"""
_COUNT_SQL = "SELECT count(*) FROM counters_counter"
_STEP = 100_000


class Command(BaseCommand):
    help = "Writes key, value and the time of the last change of every counter as CSV."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, nargs="?", help="default: standard output")

    def handle(self, *args: Any, file: Path | None, **options: Any) -> None:
        try:
            opened = file.open("wb") if file else nullcontext(sys.stdout.buffer)
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}") from None
        with clear_errors(), opened as out:
            rows = _export(out, options.get("stderr"))
        if file:
            self.stdout.write(f"{rows} counters exported")


def _export(out: BinaryIO, stderr: Any) -> int:
    """Both statements in one transaction, so that they see the same counters."""
    with connect() as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            row = connection.execute(_COUNT_SQL).fetchone()
            assert row is not None
            with progress("counters", total=row[0], file=stderr) as advance:
                _copy(connection, out, advance)
    return int(row[0])


def _copy(connection: Any, out: BinaryIO, advance: Advance) -> None:
    # PostgreSQL sends a message a row; the first is the header.
    with connection.cursor().copy(_COPY_SQL) as copy:
        for rows, line in enumerate(copy):
            out.write(line)
            if rows % _STEP == 0 and rows:
                advance(rows)
