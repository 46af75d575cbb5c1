"""`manage.py import_ads FILE`: ads from a file of any length, all or none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from adserver.records import Actor, AdFields
from adserver.rows import (
    BYTE_ORDER_MARK,
    RowsError,
    check_rows,
    rows_from_csv,
    rows_from_json,
    rows_from_json_lines,
)
from adserver.services import ads_import_all
from commons.commands import clear_errors
from runtime.progress import progress
from runtime.strict_json import InvalidBodyError, decode_json

ACTOR = Actor("import_ads")
_READERS: dict[str, Callable[[str], list[object]]] = {
    "csv": rows_from_csv,
    "json": lambda text: rows_from_json(decode_json(text.removeprefix(BYTE_ORDER_MARK).encode())),
    "jsonl": rows_from_json_lines,
}
_SUFFIXES = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}


class Command(BaseCommand):
    help = (
        "Adds the ads of a CSV file (with a header line), of a JSON array, or of a file with one "
        "JSON ad a line."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="UTF-8; .csv, .json, .jsonl or .ndjson")
        parser.add_argument("--format", choices=sorted(_READERS), help="default: by the suffix")
        parser.add_argument("--dry-run", action="store_true", help="check, write nothing")

    def handle(self, *args: Any, file: Path, dry_run: bool, **options: Any) -> None:
        ads = self._checked(file, options["format"])
        if dry_run:
            self.stdout.write(f"{len(ads)} rows are good, nothing was written")
            return
        with (
            clear_errors(),
            progress("ads", total=len(ads), file=options.get("stderr")) as advance,
        ):
            count = ads_import_all(rows=ads, actor=ACTOR, progress=advance)
        self.stdout.write(f"{count} ad{'' if count == 1 else 's'} added")

    def _checked(self, file: Path, form: str | None) -> list[AdFields]:
        """The file's ads; CommandError, after a line for every bad row, when one is bad."""
        form = form or _SUFFIXES.get(file.suffix.lower())
        if form is None:
            raise CommandError(f"{file}: say with --format what it is, the suffix does not")
        try:
            rows = _READERS[form](_text(file))
        except (RowsError, InvalidBodyError) as error:
            raise CommandError(f"{file}: {error}") from None
        ads, errors = check_rows(rows)
        for bad in errors:
            line = f"row {bad.row}: {bad.msg}"
            # JSON can name half of a character, which no terminal shows.
            self.stderr.write(line.encode(errors="backslashreplace").decode())
        if errors:
            raise CommandError(f"{len(errors)} of {len(rows)} rows are bad, nothing was written")
        return ads


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CommandError(f"{file}: is not UTF-8 text, see byte {error.start}") from None
