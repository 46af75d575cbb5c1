"""Reading measurements from PostgreSQL, on an event loop that never waits for it.

`last` looks up each sample in the index, in the few microseconds between two samples of its own,
and what is missing there is the sample before: so a sample touches one partition or two, however
many there are, and a tag that is silent for hours costs no more than a busy one. Only the first
sample looks back without an end.

The other aggregates read the interval itself, page by page, as columns that PostgreSQL lays end
to end: building a Python object for each row would take longer than reading it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from timeseries.batches import Rows
from timeseries.records import Query, Series, StoreAwayError, TagSummary, UnknownTagError
from timeseries.sampling import aggregator, samples_at, series
from timeseries.stores.base import Health
from timeseries.stores.packed import floats, rows_of

PAGE_ROWS = 50_000
# Fewer rows than this are aggregated faster than another thread is asked to.
_AT_ONCE_ROWS = 500

_KNOWN = "SELECT 1 FROM timeseries_tag WHERE name = %s"
LAST = """
SELECT sample.place, found.values
FROM unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY AS sample (before, at, place),
LATERAL (
    SELECT values FROM timeseries_measurement
    WHERE tag_id = (SELECT id FROM timeseries_tag WHERE name = %s)
    AND time_ns > sample.before AND time_ns <= sample.at
    ORDER BY time_ns DESC LIMIT 1
) AS found
"""
_PAGE = """
SELECT count(*), string_agg(int8send(time_ns), ''),
string_agg(int2send((length(values) / 8)::smallint), ''), string_agg(values, '')
FROM (
    SELECT time_ns, values FROM timeseries_measurement
    WHERE tag_id = (SELECT id FROM timeseries_tag WHERE name = %s)
    AND time_ns > %s AND time_ns <= %s ORDER BY time_ns LIMIT %s
) AS page
"""
_TAGS = """
SELECT tag.name, min(first_ns), max(last_ns), sum(count)::bigint
FROM timeseries_taghour hour JOIN timeseries_tag tag ON tag.id = hour.tag_id
GROUP BY tag.name ORDER BY tag.name
"""
_LATEST = """
SELECT max(last_ns) FROM timeseries_taghour
WHERE hour_ns = (SELECT max(hour_ns) FROM timeseries_taghour)
"""


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
            pages = self._pages(connection, query.tag, query.start_ns, query.end_ns)
            rows = None
            async for rows in pages:
                if len(rows) <= _AT_ONCE_ROWS:
                    worker.add(rows)
                else:
                    await asyncio.to_thread(worker.add, rows)
            if rows is None:
                await self._check_known(connection, query.tag)
            return series(query, worker.samples())

    async def tags(self) -> list[TagSummary]:
        """All tags that have measurements, by name. Raises StoreAwayError."""
        async with self._answering() as connection:
            rows = await (await connection.execute(_TAGS)).fetchall()
        return [TagSummary(*row) for row in rows]

    async def export(self, tag: str, start_ns: int, end_ns: int) -> AsyncIterator[Rows]:
        """All of `tag` with start ≤ time < end, in chunks. Raises UnknownTagError, StoreAwayError.

        Each chunk is read by itself: the connection is not kept while the client takes its time.
        """
        before_ns = start_ns - 1
        while True:
            async with self._answering() as connection:
                rows = await self._page(connection, tag, before_ns, end_ns - 1)
                if rows is None:
                    await self._check_known(connection, tag)
                    return
            yield rows
            before_ns = int(rows.times_ns[-1])

    async def latest_ns(self) -> int | None:
        """The latest time of any measurement; None when there is none. Raises StoreAwayError."""
        async with self._answering() as connection:
            row = await (await connection.execute(_LATEST)).fetchone()
        return None if row is None else row[0]

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
            await cursor.execute(LAST, ([-1, *times_ns[:-1]], times_ns, query.tag))
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
        self, connection: psycopg.AsyncConnection[Any], tag: str, after_ns: int, to_ns: int
    ) -> AsyncIterator[Rows]:
        while (rows := await self._page(connection, tag, after_ns, to_ns)) is not None:
            yield rows
            if len(rows) < PAGE_ROWS:
                return
            after_ns = int(rows.times_ns[-1])

    async def _page(
        self, connection: psycopg.AsyncConnection[Any], tag: str, after_ns: int, to_ns: int
    ) -> Rows | None:
        async with connection.cursor(binary=True) as cursor:
            await cursor.execute(_PAGE, (tag, after_ns, to_ns, PAGE_ROWS))
            row = await cursor.fetchone()
        return rows_of(*row[1:]) if row and row[0] else None
