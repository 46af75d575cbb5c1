"""Keeps one process's index equal to the change log.

Subscribe first, then read snapshot and version in one REPEATABLE READ transaction, then apply the
log from that version on, for ever. A hint over pub/sub only says that there is something newer;
entries always come from PostgreSQL, and a timer looks even when no hint comes. So a lost message,
a flushed or dead Redis, a restarted PostgreSQL or a slow moment of this process all end in the
same place: the next look finds the log where it is and goes on from the cursor.
"""

import gc
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Any, Protocol

import psycopg
import structlog
from psycopg import IsolationLevel

from adserver.index import CatalogIndex
from adserver.selectors import CHANGES_ROWS, Mark, changes_from, latest_mark, snapshot

log = structlog.get_logger(__name__)

_RETRY_FIRST_S = 0.1
_RETRY_MOST_S = 1.0
# Two looks are at least this far apart: under a stream of writes one look serves several, while
# a write after a quiet moment is looked at once.
PACE_S = 0.2
# More changes in one look are an import or the like, or a process that was far behind.
MANY_CHANGES = 100

Connect = Callable[[], psycopg.Connection[Any]]


class Hints(Protocol):
    """Where hints come from: `runtime.pubsub.Subscriber`."""

    @property
    def connected(self) -> bool:
        """Whether hints can arrive."""

    def wait(self, timeout_s: float) -> bool:
        """Wait for a hint; True when it is worth looking."""

    def stop(self) -> None:
        """Close the connections."""


class Replica:
    """Fills and follows an index from a thread of its own, once `start` is called.

    `connect` opens a connection to PostgreSQL; `poll_s` is the longest time between two looks.
    """

    def __init__(
        self, *, index: CatalogIndex, connect: Connect, hints: Hints, poll_s: float = 1.0
    ) -> None:
        self.index = index
        self.warm = Event()
        self.snapshots = 0
        self.gaps = 0
        self.failures = 0
        # Whether the last look failed: PostgreSQL is away, or says what nobody understands.
        self.failing = False
        self._looked_at_s = time.monotonic()
        self._mark = Mark(0)
        self._connect = connect
        self._hints = hints
        self._poll_s = poll_s
        self._start_over = True
        self._stopping = Event()
        self._connection: psycopg.Connection[Any] | None = None
        self._thread = Thread(target=self._run, name="catalog-replica", daemon=True)

    @property
    def lag_s(self) -> float:
        """Seconds since this replica last knew that it had everything."""
        return time.monotonic() - self._looked_at_s

    def start(self) -> None:
        """Start following. Returns at once; `warm` is set when the first snapshot is in."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following; what is loaded stays and goes on answering."""
        self._stopping.set()
        self._thread.join(timeout=5)
        self._hints.stop()

    def _run(self) -> None:
        pause_s = _RETRY_FIRST_S
        while not self._stopping.is_set():
            try:
                self._follow()
                pause_s = _RETRY_FIRST_S
            except Exception as error:  # noqa: BLE001 - see `_failed`
                self._failed(error)
                self._stopping.wait(pause_s)
                pause_s = min(pause_s * 2, _RETRY_MOST_S)
        self._close()

    def _follow(self) -> None:
        """One look, then one wait. Raises psycopg.Error when PostgreSQL is away."""
        self.catch_up()
        looked_s = time.monotonic()
        if self._hints.wait(self._poll_s):
            self._stopping.wait(max(0.0, looked_s + PACE_S - time.monotonic()))

    def catch_up(self) -> None:
        """Bring the index to the log's newest version. psycopg.Error when PostgreSQL is away."""
        looked_at_s = time.monotonic()
        connection = self._connected()
        if self._start_over:
            self._load_snapshot(connection)
        while not self._stopping.is_set() and not self._apply_changes(connection):
            pass
        self._looked_at_s = looked_at_s
        self.failing = False

    def _apply_changes(self, connection: psycopg.Connection[Any]) -> bool:
        """Apply the next entries; True when there are no more."""
        mark = self._mark
        changes = changes_from(connection, mark.version)
        fetched = len(changes)
        if mark.version:
            # The entry this replica stands at is read again: when it is another one, the database
            # was restored, or a standby took over that had not received everything.
            if not changes or changes[0].mark != mark:
                return self._missed(connection)
            del changes[0]
        if changes and changes[-1].version != mark.version + len(changes):
            return self._missed(connection)
        many = len(changes) > MANY_CHANGES
        for change in changes:
            self.index.apply(
                version=change.version,
                ad_id=change.ad_id,
                record=change.record,
                one_of_many=many,
            )
            self._mark = change.mark
        return fetched < CHANGES_ROWS

    def _missed(self, connection: psycopg.Connection[Any]) -> bool:
        """The log does not continue where this replica stands: begin again from a snapshot."""
        self.gaps += 1
        log.warning("catalog log has a gap, reading a snapshot", version=self._mark.version)
        self._load_snapshot(connection)
        return False

    def _load_snapshot(self, connection: psycopg.Connection[Any]) -> None:
        started_s = time.monotonic()
        self._mark = load_snapshot(connection, self.index)
        self._start_over = False
        self.snapshots += 1
        # A million ads are long-lived: the collector need never walk them again.
        gc.collect()
        gc.freeze()
        self.warm.set()
        took_s = round(time.monotonic() - started_s, 3)
        log.info(
            "catalog loaded", version=self._mark.version, ads=self.index.state()[2], seconds=took_s
        )

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        return self._connection

    def _failed(self, error: Exception) -> None:
        """Let go of the connection. After anything but a lost database the index may be half
        changed, or the log hold what this code cannot read: begin again from a snapshot.
        """
        self.failures += 1
        self.failing = True
        if isinstance(error, psycopg.Error | OSError):
            log.warning("catalog replica cannot read the log", error=str(error).strip()[:300])
        else:
            log.error("catalog replica failed", exc_info=error)
            self._start_over = True
        self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def load_snapshot(connection: psycopg.Connection[Any], index: CatalogIndex) -> Mark:
    """Fill the index from one consistent view of the tables; gives the entry it stands at.

    The connection must be in autocommit, between transactions.
    """
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            mark = latest_mark(connection)
            index.load(snapshot(connection), version=mark.version)
    finally:
        if not connection.closed:
            connection.isolation_level = None
    return mark
