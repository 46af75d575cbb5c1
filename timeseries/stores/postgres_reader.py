"""Reading measurements from PostgreSQL, on an event loop that never waits for it.

`last` looks up each sample in the index: the last block that begins at or before it, and within
the block, by binary search, the last measurement. Blocks do not reach over the hour, so a sample
touches one partition or two, however many there are, and a tag that is silent for hours costs no
more than a busy one; what is missing there is the sample before. Only the first sample looks back
without an end.

The other aggregates read the interval itself, page by page, as columns that PostgreSQL lays end
to end: building a Python object for each block would take longer than reading it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np
import psycopg
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from timeseries.batches import Rows
from timeseries.partitions import HOUR_NS
from timeseries.records import Query, Series, StoreAwayError, TagSummary, UnknownTagError
from timeseries.sampling import aggregator, samples_at, series
from timeseries.stores.base import Health
from timeseries.stores.packed import array_text, floats, rows_of

Result = TypeVar("Result")
# Blocks of 4 kB, with some 45 measurements of 10 values each, or 250 of one.
PAGE_BLOCKS = 2_000
# What is handed on at a time: it may be widened to its widest row, and some of what numpy does with
# it keeps the interpreter's lock.
PIECE_ROWS = 10_000
# Fewer rows than this are worked on faster than another thread is asked to.
_AT_ONCE_ROWS = 500

_KNOWN = "SELECT 1 FROM timeseries_tag WHERE name = %s"
# `hour` is that of the sample before. OFFSET 0 keeps the search from being done for each use.
LAST = """
SELECT sample.place, substring(found.values FROM (found.row - 1) * found.bytes + 1 FOR found.bytes)
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[])
WITH ORDINALITY AS sample (hour, before, at, place),
LATERAL (
    SELECT times, values, width_bucket(sample.at, times) AS row,
    length(values) / cardinality(times) AS bytes
    FROM (
        SELECT times, values FROM timeseries_block
        WHERE tag_id = (SELECT id FROM timeseries_tag WHERE name = %s)
        AND first_ns >= sample.hour AND first_ns <= sample.at
        ORDER BY first_ns DESC LIMIT 1
    ) AS block OFFSET 0
) AS found
WHERE found.times[found.row] > sample.before
"""
# From the block that `after` lies in, which begins in the same hour.
PAGE = """
SELECT string_agg(int4send(cardinality(times)), ''), string_agg(array_send(times), ''),
string_agg(int4send(length(values)), ''), string_agg(values, '')
FROM (
    SELECT times, values FROM timeseries_block
    WHERE tag_id = (SELECT id FROM timeseries_tag WHERE name = %(tag)s)
    AND first_ns >= %(hour)s AND first_ns <= %(to)s
    AND first_ns >= coalesce((
        SELECT first_ns FROM timeseries_block
        WHERE tag_id = (SELECT id FROM timeseries_tag WHERE name = %(tag)s)
        AND first_ns >= %(hour)s AND first_ns <= %(after)s
        ORDER BY first_ns DESC LIMIT 1
    ), %(hour)s)
    ORDER BY first_ns LIMIT %(most)s
) AS page
"""
_TAGS = """
SELECT tag.name, min(first_ns), max(last_ns), sum(count)::bigint
FROM timeseries_taghour hour JOIN timeseries_tag tag ON tag.id = hour.tag_id
GROUP BY tag.name ORDER BY tag.name
"""


def last_parameters(query: Query) -> tuple[str, str, str, str]:
    """What `LAST` is asked with. Arrays as text: psycopg looks at each number of a list, which took
    three quarters of the time that an answer takes.
    """
    times_ns = query.times_ns()
    before_ns = [-1, *times_ns[:-1]]
    hours_ns = [time_ns // HOUR_NS * HOUR_NS for time_ns in before_ns]
    return array_text(hours_ns), array_text(before_ns), array_text(times_ns), query.tag


class _Page(NamedTuple):
    """Rows that follow each other, and the time after which there may be more."""

    rows: Rows
    more_after_ns: int | None


class PostgresReader:
    """The reading side of the PostgreSQL store; see `StoreReader` in `timeseries.stores.base`.

    `pool` is bounded and belongs to the caller, who opens it on the loop; its connections are in
    autocommit and bear a `statement_timeout`. An answer takes `limit_s` at most.
    """

    def __init__(self, pool: AsyncConnectionPool[Any], *, limit_s: float) -> None:
        self._pool = pool
        self._limit_s = limit_s

    async def sample(self, query: Query) -> Series:
        """The answer to `query`. Raises UnknownTagError, StoreAwayError."""
        async with self._answering() as connection:
            if query.aggregate == "last":
                return await self._last(connection, query)
            worker = aggregator(query)
            found = False
            async for page in self._pages(connection, query.tag, query.start_ns, query.end_ns):
                found = True
                for rows in page.pieces(PIECE_ROWS):
                    await _aside(len(rows), worker.add, rows)
            if not found:
                await self._check_known(connection, query.tag)
                return series(query, worker.samples())
            # Of some aggregates much of the work is done only here.
            return series(query, await asyncio.to_thread(worker.samples))

    async def tags(self) -> list[TagSummary]:
        """All tags that have measurements, by name. Raises StoreAwayError."""
        async with self._answering() as connection:
            rows = await (await connection.execute(_TAGS)).fetchall()
        return [TagSummary(*row) for row in rows]

    async def export(self, tag: str, start_ns: int, end_ns: int) -> AsyncIterator[Rows]:
        """All of `tag` with start ≤ time < end, in chunks. Raises UnknownTagError, StoreAwayError.

        Each chunk is read by itself: the connection is not kept while the client takes its time.
        """
        after_ns: int | None = start_ns - 1
        while after_ns is not None:
            async with self._answering() as connection:
                page = await self._page(connection, tag, after_ns, end_ns - 1)
                if page is None:
                    await self._check_known(connection, tag)
                    return
            for rows in page.rows.pieces(PIECE_ROWS):
                yield rows
            after_ns = page.more_after_ns

    async def health(self) -> Health:
        """Whether PostgreSQL answers."""
        try:
            async with self._answering() as connection:
                await connection.execute("SELECT 1")
        except StoreAwayError as error:
            return Health(ok=False, detail=str(error))
        return Health(ok=True)

    async def close(self) -> None:
        """Close the pool."""
        await self._pool.close()

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        try:
            async with (
                asyncio.timeout(self._limit_s),
                self._pool.connection(self._limit_s) as connection,
            ):
                yield connection
        except (PoolTimeout, PoolClosed, TimeoutError) as error:
            raise StoreAwayError("the store takes too long to answer") from error
        except psycopg.Error as error:
            raise StoreAwayError(f"the store does not answer: {error}") from error

    async def _check_known(self, connection: psycopg.AsyncConnection[Any], tag: str) -> None:
        """Nothing was found: because there is nothing, or because there is no such tag?"""
        if await (await connection.execute(_KNOWN, (tag,))).fetchone() is None:
            raise UnknownTagError(tag)

    async def _last(self, connection: psycopg.AsyncConnection[Any], query: Query) -> Series:
        times_ns = query.times_ns()
        async with connection.cursor(binary=True) as cursor:
            await cursor.execute(LAST, last_parameters(query))
            found = {place: floats(values) for place, values in await cursor.fetchall()}
        if not found:
            await self._check_known(connection, query.tag)
        values: list[tuple[float, ...] | None] = []
        latest = None
        for place in range(1, len(times_ns) + 1):
            latest = found.get(place, latest)
            values.append(latest)
        return series(query, samples_at(times_ns, values))

    async def _pages(
        self, connection: psycopg.AsyncConnection[Any], tag: str, start_ns: int, to_ns: int
    ) -> AsyncIterator[Rows]:
        after_ns: int | None = start_ns
        while after_ns is not None:
            page = await self._page(connection, tag, after_ns, to_ns)
            if page is None:
                return
            yield page.rows
            after_ns = page.more_after_ns

    async def _page(
        self, connection: psycopg.AsyncConnection[Any], tag: str, after_ns: int, to_ns: int
    ) -> _Page | None:
        hour_ns = after_ns // HOUR_NS * HOUR_NS
        asked = {"tag": tag, "hour": hour_ns, "after": after_ns, "to": to_ns, "most": PAGE_BLOCKS}
        async with connection.cursor(binary=True) as cursor:
            await cursor.execute(PAGE, asked)
            row = await cursor.fetchone()
        if row is None or row[0] is None:
            return None
        return await _aside(len(row[1]) // 12, _page_of, row, after_ns, to_ns)


async def _aside(rows: int, work: Callable[..., Result], *arguments: Any) -> Result:
    """What `work` gives: in a thread when it has many rows, since the event loop waits for none."""
    if rows <= _AT_ONCE_ROWS:
        return work(*arguments)
    return await asyncio.to_thread(work, *arguments)


def _page_of(row: Sequence[bytes], after_ns: int, to_ns: int) -> _Page:
    """What lies in (after, to] of the blocks that `PAGE` has found."""
    lengths, sizes = (np.frombuffer(each, ">i4").astype(np.int64) for each in row[::2])
    rows = rows_of(lengths, row[1], sizes, row[3])
    last_ns = int(rows.times_ns[-1])
    more = len(lengths) == PAGE_BLOCKS and last_ns < to_ns
    inside = (rows.times_ns > after_ns) & (rows.times_ns <= to_ns)
    return _Page(rows if inside.all() else rows.part(inside), last_ns if more else None)
