"""Measurements in kdb+, or whatever speaks its protocol and loads deploy/kdb/timeseries.q.

One call writes a batch: its rows, its writers' numbers and the stream's version. Such calls are
done one at a time, so each is all or nothing; it does nothing when the version is not the one that
the numbers were read with, because another drain was there first.

There may be two processes: one is written to, and one is asked. Then every batch is written to
both, each with its own numbers and version, before it leaves the stream: what one has and the
other has not is made up for at the next attempt.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import polars as pl

from runtime.drain import Drained, DrainLimits
from runtime.stream import Entry, Stream
from timeseries.batches import Rows
from timeseries.records import Query, Series, StoreAwayError, TagSummary, UnknownTagError
from timeseries.sampling import aggregator, samples_at, series
from timeseries.stores.base import GRACE_NS, Health, Retained, batch_of
from timeseries.stores.kdb_link import (
    KdbAddress,
    KdbLink,
    KdbRefusedError,
    measurement_table,
    points_table,
    rows_of,
    seqs_of,
    state_table,
    writer_table,
)

PAGE_ROWS = 50_000
WRITE_TIMEOUT_S = 30
_WRITER_KEPT_MS = 48 * 3_600_000
_NOT_READY = "no tables: kdb+ reads its log, or waits for `manage.py kdb_init`"


class KdbWriter:
    """The writing side; see `StoreWriter`. `urls` are all processes that keep measurements."""

    def __init__(self, urls: Sequence[str], *, limits: DrainLimits | None = None) -> None:
        self._limits = limits or DrainLimits()
        self.urls = list(dict.fromkeys(urls))
        self._links = [KdbLink(KdbAddress.of(url), timeout_s=WRITE_TIMEOUT_S) for url in self.urls]

    def drain(self, stream: Stream) -> Drained:
        """Store what waits in the stream, then trim it. Raises StoreAwayError, RedisError."""
        entries = stream.read(self._limits.entries, self._limits.payload_bytes)
        if not entries:
            return Drained()
        applied = [self._write(link, stream.key, entries) for link in self._links]
        if any(count is None for count in applied):
            return Drained(standby=True)
        most = max(count for count in applied if count is not None)
        return Drained(
            applied=most,
            repeated=len(entries) - most,
            more=len(entries) >= self._limits.entries,
            trimmed=stream.trim(entries[0].id, entries[-1].id),
            at_ms=entries[-1].at_ms,
        )

    def _write(self, link: KdbLink, stream: str, entries: list[Entry]) -> int | None:
        """How many entries were news to this process; None when another drain was first."""
        version = int(link.call(".ts.version", stream))
        seqs = seqs_of(link.call(".ts.known", stream))
        told: dict[bytes, int] = {}
        news = []
        for entry in entries:
            if not entry.writer:
                news.append(entry)
            elif entry.seq > seqs.get(entry.writer, 0):
                seqs[entry.writer] = told[entry.writer] = entry.seq
                if _refusal(entry.writer, entry.seq) not in seqs:
                    news.append(entry)
        if not news and not told:
            return 0
        rows = measurement_table(batch_of(news).latest())
        state = state_table(stream, version + 1, entries[-1].id.decode())
        writers = writer_table(stream, told, _now_ms())
        if not link.call(".ts.write", stream, version, rows, writers, state):
            return None
        return len(news)

    def settle(self, stream: str, writer: bytes, seq: int) -> bool:
        """True if the entry is stored; otherwise it never will be. Raises StoreAwayError."""
        table = writer_table(stream, {_refusal(writer, seq): seq}, _now_ms())
        first, *others = self._links
        # The first process decides, as it is the first to be written to: what it has, the others
        # have or will have, and are not asked, since they would refuse what is on its way to them.
        if first.call(".ts.settle", stream, writer.hex(), seq, table):
            return True
        for link in others:
            link.call(".ts.settle", stream, writer.hex(), seq, table)
        return False

    def retain(self, *, oldest_ns: int, newest_ns: int, streams: Sequence[Stream]) -> Retained:
        """Let go of what is before `oldest_ns`. Raises StoreAwayError, RedisError."""
        before = {
            stream.key: min(_now_ms() - _WRITER_KEPT_MS, stream.oldest_ms() or _now_ms())
            for stream in streams
        }
        writers = tags = 0
        for link in self._links:
            tags = len(link.call(".ts.tags", 0))
            link.call(".ts.retain", oldest_ns - GRACE_NS)
            tags -= len(link.call(".ts.tags", 0))
            writers = sum(int(link.call(".ts.forget", *each)) for each in before.items())
        return Retained(tags=tags, writers=writers)

    def close(self) -> None:
        """Let go of the connections."""
        for link in self._links:
            link.close()


class KdbReader:
    """The reading side; see `StoreReader`. Answers in `limit_s`, at most `most` at a time."""

    def __init__(self, url: str, *, limit_s: float, most: int = 4) -> None:
        self._limit_s = limit_s
        address = KdbAddress.of(url)
        links = [KdbLink(address, timeout_s=max(1, int(limit_s))) for _ in range(most)]
        self._links: asyncio.Queue[KdbLink] = asyncio.Queue()
        for link in links:
            self._links.put_nowait(link)
        self._all = links
        self._calls: set[asyncio.Task[Any]] = set()

    async def sample(self, query: Query) -> Series:
        """The answer to `query`. Raises UnknownTagError, StoreAwayError."""
        if query.aggregate == "last":
            return await self._last(query)
        worker = aggregator(query)
        async for rows in self._pages(query.tag, query.start_ns, query.end_ns):
            await asyncio.to_thread(worker.add, rows)
        return series(query, worker.samples())

    async def tags(self) -> list[TagSummary]:
        """All tags that have measurements, by name. Raises StoreAwayError."""
        table = await self._call(".ts.tags", 0)
        columns = (table["tag"].cast(pl.String), table["first_ns"], table["last_ns"], table["n"])
        found = [TagSummary(*row) for row in zip(*(c.to_list() for c in columns), strict=True)]
        return sorted(found, key=lambda each: each.tag.encode())

    async def export(self, tag: str, start_ns: int, end_ns: int) -> AsyncIterator[Rows]:
        """All of `tag` with start ≤ time < end, in chunks. Raises UnknownTagError, StoreAwayError.

        Each chunk is read by itself: no connection is kept while the client takes its time.
        """
        async for rows in self._pages(tag, start_ns - 1, end_ns - 1):
            yield rows

    async def health(self) -> Health:
        """Whether kdb+ answers, and has its functions and tables."""
        try:
            ready = await self._call(".ts.ready")
        except KdbRefusedError:
            ready = False
        except StoreAwayError as error:
            return Health(ok=False, detail=str(error))
        return Health(ok=True) if ready else Health(ok=False, detail=_NOT_READY)

    async def close(self) -> None:
        """Let go of the connections, once the calls under way are answered."""
        await asyncio.gather(*self._calls, return_exceptions=True)
        for link in self._all:
            link.close()

    async def _last(self, query: Query) -> Series:
        times_ns = query.times_ns()
        before = rows_of(await self._call(".ts.before", query.tag, query.start_ns))
        table = await self._call(
            ".ts.asof",
            points_table(query.tag, times_ns),
            query.tag,
            query.start_ns,
            query.end_ns,
        )
        latest = next((values for _, values in before), None)
        values = [
            latest if number is None else found
            for number, found in zip(table["no"].to_list(), table["val"].to_list(), strict=True)
        ]
        if all(each is None for each in values):
            await self._check_known(query.tag)
        return series(query, samples_at(times_ns, values))

    async def _pages(self, tag: str, after_ns: int, to_ns: int) -> AsyncIterator[Rows]:
        """The rows in (after, to], span by span, the spans as long as `PAGE_ROWS` rows take."""
        size = int(await self._call(".ts.size", tag, after_ns, to_ns))
        if not size:
            await self._check_known(tag)
        pages = -(-size // PAGE_ROWS)
        for page in range(pages):
            start_ns = after_ns + (to_ns - after_ns) * page // pages
            end_ns = after_ns + (to_ns - after_ns) * (page + 1) // pages
            rows = rows_of(await self._call(".ts.range", tag, start_ns, end_ns))
            if len(rows):
                yield rows

    async def _check_known(self, tag: str) -> None:
        if not await self._call(".ts.size", tag, -1, 2**63 - 1):
            raise UnknownTagError(tag)

    async def _call(self, function: str, *arguments: Any) -> Any:
        """Call in a thread, on a connection of its own; who gives up leaves it to be finished."""
        try:
            async with asyncio.timeout(self._limit_s):
                link = await self._links.get()
                call = asyncio.ensure_future(asyncio.to_thread(link.call, function, *arguments))
                self._calls.add(call)
                call.add_done_callback(lambda _: self._links.put_nowait(link))
                call.add_done_callback(self._done)
                return await asyncio.shield(call)
        except TimeoutError as error:
            raise StoreAwayError("kdb+ takes too long to answer") from error

    def _done(self, call: asyncio.Task[Any]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            # Who asked may have left: an error that nobody hears of is no warning.
            call.exception()


def _refusal(writer: bytes, seq: int) -> bytes:
    """Under what a refused batch is noted among the writers."""
    return writer + seq.to_bytes(8, "big")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
