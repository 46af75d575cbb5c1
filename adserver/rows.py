"""Many ads at once: rows of a CSV or JSON text, checked before anything is written, and back.

Pure. The import over HTTP, the admin's import page and the command all read their rows here, so
that the same file gets the same answer everywhere. Rows are counted from 1; in a CSV, row 1 is the
first line after the header, and blank lines do not count.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice

import msgspec
import orjson

from adserver.records import FIELDS, SERVER_FIELDS, AdFields, AdRecord, InvalidAdError, parse_fields

CSV_COLUMNS = (*FIELDS, "id")
_REQUIRED_COLUMNS = ("title", "content", "start_at", "end_at")
_NUMBER_COLUMNS = ("age_start", "age_end")
_LIST_COLUMNS = ("gender", "country", "platform")
_LIST_SEPARATORS = re.compile(r"[|,\s]+")
# Longer numbers are no ages; they stay text and are refused as such.
_NUMBER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
BYTE_ORDER_MARK = "\ufeff"
# More than any body or file holds that is read at once.
_CELL_CHARACTERS_MAX = 2**31 - 1


class RowsError(ValueError):
    """The text as a whole cannot be read as rows; the message says what is wrong with it."""


class RowError(msgspec.Struct, frozen=True):
    """What is wrong with one row, counted from 1."""

    row: int
    msg: str


class BrokenRow(msgspec.Struct, frozen=True):
    """Stands for a row that could not be read at all, until `check_rows` names it."""

    msg: str


def rows_from_csv(text: str, *, most: int | None = None) -> list[object]:
    """The rows of a CSV text with a header line: a mapping ready for `check_rows` each.

    Lists in a cell are separated by `|`, `,` or spaces; an empty cell means the default. RowsError
    for a header that does not fit, for broken quoting, and beyond `most` rows.
    """
    # Of the module: a cell that is too long for its field is a mistake in one row.
    csv.field_size_limit(_CELL_CHARACTERS_MAX)
    reader = csv.reader(io.StringIO(text.removeprefix(BYTE_ORDER_MARK), newline=""), strict=True)
    try:
        lines = (cells for cells in reader if cells)
        columns = _columns(next(lines, None))
        kept = islice(lines, None if most is None else most + 1)
        rows: list[object] = [_row(columns, cells) for cells in kept]
    except csv.Error as error:
        raise RowsError(f"csv: line {reader.line_num}: {error}") from None
    return _at_most(rows, most)


def rows_from_json(data: object, *, most: int | None = None) -> list[object]:
    """The rows of a decoded JSON array; RowsError for anything else, and beyond `most` rows."""
    if not isinstance(data, list):
        raise RowsError("body: must be an array of ads")
    return _at_most(data, most)


def rows_from_json_lines(text: str, *, most: int | None = None) -> list[object]:
    """The rows of a text with one JSON object a line. A line that is no JSON is a broken row."""
    lines = text.removeprefix(BYTE_ORDER_MARK).split("\n")
    return _at_most([_json_row(line) for line in lines if line.strip()], most)


def check_rows(rows: Sequence[object]) -> tuple[list[AdFields], list[RowError]]:
    """The ads of the good rows, in order, and what is wrong with every bad one."""
    ads: list[AdFields] = []
    errors: list[RowError] = []
    for number, row in enumerate(rows, start=1):
        try:
            ads.append(_ad_of(row))
        except (InvalidAdError, RowsError) as error:
            errors.append(RowError(number, str(error)))
    return ads, errors


def rows_to_csv(ads: Iterable[AdRecord]) -> Iterator[str]:
    """CSV lines (CRLF at the end, the header first) which `rows_from_csv` reads back."""
    yield _csv_line(CSV_COLUMNS)
    for ad in ads:
        yield _csv_line([_cell(getattr(ad, name)) for name in CSV_COLUMNS])


def _at_most(rows: list[object], most: int | None) -> list[object]:
    if most is not None and len(rows) > most:
        raise RowsError(f"rows: at most {most} at once")
    return rows


def _columns(header: list[str] | None) -> list[str]:
    if header is None:
        raise RowsError("csv: has no header line")
    columns = [cell.strip().lower() for cell in header]
    for column in columns:
        if column not in FIELDS and column not in SERVER_FIELDS:
            raise RowsError(f"csv: the column {column[:40]!r} is not a field of an ad")
        if columns.count(column) > 1:
            raise RowsError(f"csv: the column {column!r} is there twice")
    for column in _REQUIRED_COLUMNS:
        if column not in columns:
            raise RowsError(f"csv: the column {column!r} is missing")
    return columns


def _row(columns: list[str], cells: list[str]) -> object:
    # A row of another length has lost or gained a separator: its cells would be in wrong columns.
    if len(cells) != len(columns):
        return BrokenRow(f"row: has {len(cells)} cells, the header has {len(columns)}")
    row: dict[str, object] = {}
    for column, cell in zip(columns, cells, strict=True):
        if column in _LIST_COLUMNS:
            row[column] = [item for item in _LIST_SEPARATORS.split(cell) if item]
        elif column in _NUMBER_COLUMNS and _NUMBER.fullmatch(cell.strip()):
            row[column] = int(cell)
        elif cell.strip() or column == "content":
            row[column] = cell
    return row


def _json_row(line: str) -> object:
    try:
        row: object = orjson.loads(line)
    except ValueError:
        return BrokenRow("row: is not valid JSON")
    return row


def _ad_of(row: object) -> AdFields:
    if isinstance(row, BrokenRow):
        raise RowsError(row.msg)
    if not isinstance(row, dict):
        raise RowsError("row: must be an object")
    return parse_fields(row)


def _cell(value: object) -> str:
    if isinstance(value, tuple):
        return "|".join(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)
    return line.getvalue()
