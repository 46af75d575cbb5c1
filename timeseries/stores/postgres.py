"""Writing measurements into PostgreSQL: exactly once, the later of two wins, as fast as COPY.

How a batch gets into the tables is in `timeseries.stores.postgres_apply`; here are the connection,
the stream, and the retention.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.errors import CheckViolation, DeadlockDetected, ForeignKeyViolation

from runtime.drain import (
    Drained,
    DrainLimits,
    DrainTables,
    drain_once,
    forget_writers,
    settle,
)
from runtime.stream import Stream
from timeseries.partitions import HOUR_NS, drop_partitions, make_partitions, partitions
from timeseries.records import StoreAwayError
from timeseries.stores.base import GRACE_NS, Retained
from timeseries.stores.postgres_apply import Apply

TABLES = DrainTables(cursor="timeseries_streamcursor", writer="timeseries_streamwriter")

# Late rows of one transaction: about a second's work, up to 40 µs each. With more it takes less of
# the stream next time, for others of the same hours wait for it, and the newest rows do too.
_LATE_FEW, _LATE_MANY = 5_000, 20_000
_BYTES_MIN = 256 * 1024
# From the hour that was under way so long before the newest one, partitions are made ahead.
_AHEAD_NS = 3 * HOUR_NS
# An hour that a partition is kept for, because the partition is wider, is kept as well.
_FORGET_HOURS = """
DELETE FROM timeseries_taghour AS hour WHERE hour.hour_ns < %s AND NOT EXISTS (
    SELECT FROM timeseries_block AS kept WHERE kept.tag_id = hour.tag_id
    AND kept.first_ns BETWEEN hour.hour_ns AND hour.last_ns
)
"""
# A batch that gives the tag an hour meanwhile keeps it, or fails and makes it again.
_FORGET_TAGS = """
DELETE FROM timeseries_tag AS tag
WHERE NOT EXISTS (SELECT FROM timeseries_taghour AS hour WHERE hour.tag_id = tag.id)
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
        self._bytes = self._limits.payload_bytes
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
        drained = drain_once(
            connection=self._connected(),
            stream=stream,
            apply=self._apply,
            tables=TABLES,
            limits=replace(self._limits, payload_bytes=self._bytes),
        )
        if drained.applied:
            self._adapt(self._apply.late_rows)
        return drained

    def _adapt(self, late_rows: int) -> None:
        if late_rows > _LATE_MANY:
            self._bytes = max(_BYTES_MIN, self._bytes // 2)
        elif late_rows < _LATE_FEW:
            self._bytes = min(self._limits.payload_bytes, self._bytes * 2)

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
                tags=_forget_tags(connection),
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


def _forget_tags(connection: Connection[Any]) -> int:
    try:
        return connection.execute(_FORGET_TAGS).rowcount
    except (ForeignKeyViolation, DeadlockDetected):
        # One of them has come back just now: the next run forgets the others.
        return 0
