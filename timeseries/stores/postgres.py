"""Writing measurements into PostgreSQL: exactly once, the later of two wins, as fast as COPY.

Rows that are later than all their tag has can be in nobody's way, so they go into the table by a
binary COPY as they are. Late ones take the detour over a temporary table and ON CONFLICT. That a
row is not late is what this process remembers of its own writes: another writer may know better,
PostgreSQL then refuses the COPY, and all of the batch takes the detour.

Rows are written in the order of tag and time. So a tag's rows of one batch lie in the same pages,
a look at an hour of it reads few of them, and two writers take their locks in one order.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from logging import getLogger
from typing import Any, LiteralString

import numpy as np
import psycopg
from psycopg import Connection, Cursor
from psycopg.errors import CheckViolation, ForeignKeyViolation, UniqueViolation

from runtime.drain import (
    Drained,
    DrainLimits,
    DrainTables,
    drain_once,
    forget_writers,
    settle,
)
from runtime.stream import Entry, Stream
from timeseries.batches import Batch, Ints
from timeseries.partitions import (
    HOUR_NS,
    Partition,
    drop_partitions,
    make_partitions,
    partitions,
)
from timeseries.records import StoreAwayError
from timeseries.stores.base import GRACE_NS, Retained, batch_of
from timeseries.stores.packed import copy_rows

log = getLogger(__name__)
TABLES = DrainTables(cursor="timeseries_streamcursor", writer="timeseries_streamwriter")

# From the hour that was under way so long before the newest one, partitions are made ahead.
_AHEAD_NS = 3 * HOUR_NS
# An hour that a partition is kept for, because the partition is wider, is kept as well.
_FORGET_HOURS = """
DELETE FROM timeseries_taghour AS hour WHERE hour.hour_ns < %s AND NOT EXISTS (
    SELECT FROM timeseries_measurement AS kept
    WHERE kept.tag_id = hour.tag_id AND kept.time_ns = hour.last_ns
)
"""
# A batch that gives the tag an hour meanwhile keeps it, or fails and makes it again.
_FORGET_TAGS = """
DELETE FROM timeseries_tag AS tag
WHERE NOT EXISTS (SELECT FROM timeseries_taghour AS hour WHERE hour.tag_id = tag.id)
"""

_COPY = "COPY timeseries_measurement (time_ns, tag_id, values) FROM STDIN BINARY"
_STAGE = """
CREATE TEMPORARY TABLE IF NOT EXISTS timeseries_staged
(time_ns bigint, tag_id integer, values bytea) ON COMMIT DELETE ROWS
"""
_COPY_STAGED = "COPY timeseries_staged (time_ns, tag_id, values) FROM STDIN BINARY"
_INSERT_STAGED = """
INSERT INTO timeseries_measurement (time_ns, tag_id, values)
SELECT time_ns, tag_id, values FROM timeseries_staged ORDER BY tag_id, time_ns
ON CONFLICT (tag_id, time_ns) DO NOTHING RETURNING tag_id, time_ns
"""
# A repetition with the same values changes nothing, and leaves nothing to vacuum.
_REPLACE_STAGED = """
INSERT INTO timeseries_measurement AS old (time_ns, tag_id, values)
SELECT time_ns, tag_id, values FROM timeseries_staged ORDER BY tag_id, time_ns
ON CONFLICT (tag_id, time_ns) DO UPDATE SET values = excluded.values
WHERE old.values <> excluded.values
"""
_FIND_TAGS = """
SELECT tag.name, tag.id, coalesce(max(hour.last_ns), -1) FROM timeseries_tag tag
LEFT JOIN timeseries_taghour hour ON hour.tag_id = tag.id
WHERE tag.name = ANY(%s) GROUP BY tag.id
"""
_NEW_TAGS = """
INSERT INTO timeseries_tag (name) SELECT name FROM unnest(%s::text[]) AS new (name) ORDER BY name
ON CONFLICT (name) DO NOTHING
"""
_HOURS = """
INSERT INTO timeseries_taghour AS old (tag_id, hour_ns, first_ns, last_ns, count)
SELECT * FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
ON CONFLICT (tag_id, hour_ns) DO UPDATE SET
    first_ns = least(old.first_ns, excluded.first_ns),
    last_ns = greatest(old.last_ns, excluded.last_ns),
    count = old.count + excluded.count
"""


class PostgresWriter:
    """The writing side of the PostgreSQL store; see `StoreWriter` in `timeseries.stores.base`.

    `connect` gives a connection in autocommit. `oldest_ns` says what is past the retention, so
    that a message which waited for too long does not make its partition again.
    """

    def __init__(
        self,
        *,
        connect: Callable[[], Connection[Any]],
        oldest_ns: Callable[[], int],
        limits: DrainLimits | None = None,
        partition_hours: int = 1,
    ) -> None:
        self._connect = connect
        self._limits = limits or DrainLimits()
        self._partition_hours = partition_hours
        self._apply = Apply(oldest_ns=oldest_ns, partition_hours=partition_hours)
        self._connection: Connection[Any] | None = None

    def drain(self, stream: Stream) -> Drained:
        """Store what waits in the stream, then trim it. Raises StoreAwayError, RedisError."""
        try:
            try:
                return self._drain(stream)
            except (ForeignKeyViolation, CheckViolation):
                # A tag or a partition that was remembered is gone: the retention has passed.
                self._apply.forget()
                return self._drain(stream)
        except BaseException as error:
            self.close()
            if isinstance(error, psycopg.Error):
                raise StoreAwayError(f"PostgreSQL: {error}") from error
            raise

    def _drain(self, stream: Stream) -> Drained:
        return drain_once(
            connection=self._connected(),
            stream=stream,
            apply=self._apply,
            tables=TABLES,
            limits=self._limits,
        )

    def settle(self, stream: str, writer: bytes, seq: int) -> bool:
        """True if the entry is stored; otherwise it never will be. Raises StoreAwayError."""
        try:
            return settle(
                connection=self._connected(), tables=TABLES, stream=stream, writer=writer, seq=seq
            )
        except psycopg.Error as error:
            self.close()
            raise StoreAwayError(f"PostgreSQL: {error}") from error

    def retain(self, *, oldest_ns: int, newest_ns: int, streams: Sequence[Stream]) -> Retained:
        """Make partitions ahead, drop those past the retention. Raises StoreAwayError."""
        try:
            connection = self._connected()
            made = self._make_ahead(connection, oldest_ns, newest_ns)
            dropped = drop_partitions(connection, oldest_ns - GRACE_NS)
            oldest_hour_ns = (oldest_ns - GRACE_NS) // HOUR_NS * HOUR_NS
            connection.execute(_FORGET_HOURS, (oldest_hour_ns,))
            return Retained(
                made=made,
                dropped=tuple(dropped),
                tags=connection.execute(_FORGET_TAGS).rowcount,
                writers=sum(
                    forget_writers(connection=connection, stream=stream, tables=TABLES)
                    for stream in streams
                ),
            )
        except psycopg.Error as error:
            self.close()
            raise StoreAwayError(f"PostgreSQL: {error}") from error

    def _make_ahead(
        self, connection: Connection[Any], oldest_ns: int, newest_ns: int
    ) -> tuple[str, ...]:
        first_ns = max(oldest_ns, newest_ns - _AHEAD_NS) // HOUR_NS * HOUR_NS
        hours_ns = list(range(first_ns, newest_ns + 1, HOUR_NS))
        with connection.transaction(), connection.cursor() as cursor:
            before = {each.name for each in partitions(cursor)}
            after = make_partitions(cursor, hours_ns, self._partition_hours)
        return tuple(each.name for each in after if each.name not in before)

    def _connected(self) -> Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._apply.forget()
            self._connection = self._connect()
        return self._connection

    def close(self) -> None:
        """Let go of the connection, and of what was remembered with it."""
        self._apply.forget()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Apply:
    """Puts entries into the tables, in a transaction of the caller's.

    Remembers tags, their last times and partitions, all of which may turn out to be wrong: then
    the transaction fails, and after `forget` the same entries go in.
    """

    def __init__(self, *, oldest_ns: Callable[[], int], partition_hours: int) -> None:
        self._oldest_ns = oldest_ns
        self._partition_hours = partition_hours
        self.forget()

    def forget(self) -> None:
        """Remember nothing."""
        self._ids: dict[str, int] = {}
        self._last_ns = np.full(1024, -1, np.int64)
        self._partitions: list[Partition] = []

    def __call__(self, cursor: Cursor[Any], entries: Sequence[Entry]) -> None:
        """Store the entries. Raises psycopg.Error, after which the caller forgets."""
        self.store(cursor, batch_of(entries))

    def store(self, cursor: Cursor[Any], batch: Batch) -> None:
        """Store the batch, in whatever order it is. Raises psycopg.Error, as above."""
        batch = self._kept(batch)
        if not len(batch):
            return
        ids = self._tag_ids(cursor, batch.names)
        batch = replace(batch, codes=ids[batch.codes]).latest()
        self._make_room(cursor, batch)
        late = batch.times_ns <= self._last_ns[batch.codes]
        staged, fresh = batch.parted(late)
        if not self._copied(cursor, fresh):
            staged, fresh = batch.parted(np.ones(len(batch), np.bool_))
        self._note_hours(cursor, *_in_order(fresh, *self._put_staged(cursor, staged)))
        np.maximum.at(self._last_ns, batch.codes, batch.times_ns)

    def _kept(self, batch: Batch) -> Batch:
        kept = batch.times_ns >= self._oldest_ns() - GRACE_NS
        if kept.all():
            return batch
        log.warning("%d measurements came after their retention", len(batch) - int(kept.sum()))
        return batch.taken(np.flatnonzero(kept))

    def _tag_ids(self, cursor: Cursor[Any], names: list[str]) -> Ints:
        unknown = sorted({name for name in names if name not in self._ids})
        if unknown:
            self._find_tags(cursor, unknown)
            if missing := [name for name in unknown if name not in self._ids]:
                cursor.execute(_NEW_TAGS, (missing,))
                self._find_tags(cursor, missing)
        return np.array([self._ids[name] for name in names], np.int64)

    def _find_tags(self, cursor: Cursor[Any], names: list[str]) -> None:
        for name, tag_id, last_ns in cursor.execute(_FIND_TAGS, (names,)).fetchall():
            self._ids[name] = tag_id
            if tag_id >= len(self._last_ns):
                grown = np.full(2 * tag_id, -1, np.int64)
                grown[: len(self._last_ns)] = self._last_ns
                self._last_ns = grown
            self._last_ns[tag_id] = last_ns

    def _make_room(self, cursor: Cursor[Any], batch: Batch) -> None:
        """See to it that there is a partition for every row."""
        hours_ns = (np.unique(batch.times_ns // HOUR_NS) * HOUR_NS).tolist()
        if missing := self._without_partition(hours_ns):
            self._partitions = partitions(cursor)
            if missing := self._without_partition(missing):
                self._partitions = make_partitions(cursor, missing, self._partition_hours)

    def _without_partition(self, hours_ns: list[int]) -> list[int]:
        return [
            hour_ns
            for hour_ns in hours_ns
            if not any(each.low_ns <= hour_ns < each.high_ns for each in self._partitions)
        ]

    def _copied(self, cursor: Cursor[Any], fresh: Batch) -> bool:
        """False when another writer has put a row where one of these was to go."""
        if not len(fresh):
            return True
        try:
            with cursor.connection.transaction():
                _copy(cursor, _COPY, fresh)
        except UniqueViolation:
            return False
        return True

    def _put_staged(self, cursor: Cursor[Any], staged: Batch) -> tuple[Ints, Ints]:
        """Insert or replace; gives tag and time of the rows that were not there before."""
        if not len(staged):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        cursor.execute(_STAGE)
        _copy(cursor, _COPY_STAGED, staged)
        new = np.array(cursor.execute(_INSERT_STAGED).fetchall(), np.int64).reshape(-1, 2)
        if len(new) < len(staged):
            cursor.execute(_REPLACE_STAGED)
        return new[:, 0], new[:, 1]

    def _note_hours(self, cursor: Cursor[Any], tags: Ints, times_ns: Ints) -> None:
        """Add the rows that are new, in order, to what is known of their tags' hours."""
        if not len(tags):
            return
        hours_ns = times_ns // HOUR_NS * HOUR_NS
        first = np.ones(len(tags), np.bool_)
        first[1:] = (tags[1:] != tags[:-1]) | (hours_ns[1:] != hours_ns[:-1])
        starts = np.flatnonzero(first)
        ends = np.append(starts[1:], len(tags))
        columns = (tags[starts], hours_ns[starts], times_ns[starts], times_ns[ends - 1])
        cursor.execute(_HOURS, [_array(each) for each in (*columns, ends - starts)])


def _copy(cursor: Cursor[Any], statement: LiteralString, batch: Batch) -> None:
    with cursor.copy(statement) as copy:
        for part in copy_rows(batch):
            copy.write(part)


def _in_order(fresh: Batch, tags: Ints, times_ns: Ints) -> tuple[Ints, Ints]:
    """Tags and times of both, by tag and time; `fresh` is so already."""
    if not len(tags):
        return fresh.codes, fresh.times_ns
    tags, times_ns = np.append(fresh.codes, tags), np.append(fresh.times_ns, times_ns)
    order = np.lexsort((times_ns, tags))
    return tags[order], times_ns[order]


def _array(numbers: Ints) -> str:
    """The numbers as PostgreSQL reads an array: psycopg looks at each, which takes ten times as
    long.
    """
    return f"{{{str(numbers.tolist())[1:-1]}}}"
