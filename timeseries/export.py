"""Raw measurements of a tag as a stream of CSV or JSON lines: checked, bounded, piece by piece."""

import asyncio
from collections.abc import AsyncIterator
from threading import BoundedSemaphore
from typing import Literal, NamedTuple
from weakref import finalize

import msgspec

from runtime.errors import BusyError
from timeseries.batches import Rows
from timeseries.queries import InvalidQueryError, Reach, Span, given_parameters, read_span
from timeseries.records import Measurement
from timeseries.stores.base import StoreReader

Format = Literal["csv", "ndjson"]
CONTENT_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "ndjson": "application/x-ndjson",
}
_encode_lines = msgspec.json.Encoder().encode_lines


class ExportsBusyError(BusyError):
    """As many exports as a worker bears are under way."""

    def __init__(self) -> None:
        super().__init__("server: too many exports are under way")


class ExportOutgrownError(Exception):
    """A measurement that came while the export was under way is wider than its header. The answer
    breaks off, rather than to pass for whole.
    """


class ExportQuery(NamedTuple):
    """What is to be exported, and how."""

    span: Span
    format: Format


def read_export_query(query: bytes, reach: Reach) -> ExportQuery:
    """The query of `GET /api/export`; InvalidQueryError names the parameter."""
    given = given_parameters(query, ("tag", "start", "end", "format"))
    asked = given.get("format", "csv")
    for each in CONTENT_TYPES:
        if each == asked:
            return ExportQuery(read_span(given, reach), each)
    raise InvalidQueryError("format: must be csv or ndjson")


class Exports:
    """The exports of one worker: at most `most` at a time."""

    def __init__(self, reader: StoreReader, *, most: int) -> None:
        self._reader = reader
        self._room = BoundedSemaphore(most)

    async def begin(self, asked: ExportQuery) -> "Export":
        """An export whose first piece is there, so that what can go wrong has gone wrong by now:
        UnknownTagError, StoreAwayError, ExportsBusyError. Close it when it is over; one that is let
        go of is closed.

        A CSV needs the width of its widest measurement, which may be the last: so all of it is read
        before. Reading takes a tenth of the time that writing does.
        """
        if not self._room.acquire(blocking=False):
            raise ExportsBusyError
        try:
            width = await self._width(asked.span) if asked.format == "csv" else 0
            chunks = self._reader.export(*asked.span)
            first = await anext(chunks, None)
        except BaseException:
            self._room.release()
            raise
        return Export(asked, first, chunks, width, self._room)

    async def _width(self, span: Span) -> int:
        return max([int(rows.counts.max()) async for rows in self._reader.export(*span)], default=1)


class Export:
    """An asynchronous iterator over the bytes. `close` may be called from any thread."""

    def __init__(
        self,
        asked: ExportQuery,
        first: Rows | None,
        chunks: AsyncIterator[Rows],
        width: int,
        room: BoundedSemaphore,
    ) -> None:
        self.content_type = CONTENT_TYPES[asked.format]
        self._asked = asked
        self._first = first
        self._chunks = chunks
        self._width = width
        # Also of one that nobody closes: a client may leave before it is sent anything, and then
        # the framework lets go of it without a word.
        self._make_room = finalize(self, room.release)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        first, tag, width = self._first, self._asked.span.tag, self._width
        if self._asked.format == "csv":
            yield csv_header(width)
        if first is None:
            return
        yield await self._written(first, tag, width)
        self._first = None
        async for rows in self._chunks:
            yield await self._written(rows, tag, width)

    async def _written(self, rows: Rows, tag: str, width: int) -> bytes:
        if self._asked.format == "csv" and int(rows.counts.max()) > width:
            raise ExportOutgrownError
        # In a thread: the loop goes on while tens of thousands of numbers become text.
        if self._asked.format == "csv":
            return await asyncio.to_thread(csv_lines, rows, width)
        return await asyncio.to_thread(json_lines, rows, tag)

    def close(self) -> None:
        """Make room for another export. Closing twice does nothing."""
        self._make_room()


def csv_header(width: int) -> bytes:
    """The first line, with so many values."""
    return ",".join(["time", *(f"value{n}" for n in range(1, width + 1))]).encode() + b"\n"


def csv_lines(rows: Rows, width: int) -> bytes:
    """A line a measurement, with empty cells where it has fewer values than `width`."""
    lines = [
        f"{time_ns},{','.join(map(repr, values))}{',' * max(0, width - len(values))}\n"
        for time_ns, values in rows
    ]
    return "".join(lines).encode()


def json_lines(rows: Rows, tag: str) -> bytes:
    """A message a line, as `/save/batch` takes them."""
    return _encode_lines([Measurement(time_ns, tag, values) for time_ns, values in rows])
