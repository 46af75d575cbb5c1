"""The drain of one shard: from its stream into the tables, then into the cache of totals.

`runtime.drain` makes it exactly once; here is what a batch means. A pass costs what its counters
cost, four rows each, however many increments they got. So it takes as much of the stream as holds
a good number of counters: much of it when a few are hot, little when every increment has another.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from logging import getLogger
from typing import Any

import psycopg
from django.conf import settings
from psycopg import Cursor, DataError, IntegrityError

from commons.connecting import connect
from counters.applying import Applied, apply_entries, bury
from counters.figures import add_figures
from counters.folding import Dead
from counters.models import DeadLetter
from counters.totals import Mark, TotalsCache, totals_cache
from runtime.drain import Drained, DrainLimits, DrainTables, drain_once
from runtime.redis_where import RedisClient, open_redis
from runtime.stream import Entry, Stream, stream_key

log = getLogger(__name__)

TABLES = DrainTables(cursor="counters_streamcursor", writer="counters_streamwriter")
_ENTRIES_MAX = 20_000
_BYTES_MIN, _BYTES_START, _BYTES_MAX = 2**18, 2**23, 2**26
# Counters of one transaction: about a second's work.
_COUNTERS_FEW, _COUNTERS_MANY = 25_000, 100_000


@dataclass
class Pass:
    """What one run of the drain did; `standby` when another drainer has the stream."""

    standby: bool = False
    more: bool = False
    entries: int = 0
    increments: int = 0
    dead: int = 0


class ShardDrain:
    """Drains one shard; for one thread at a time. Connects when it is first run."""

    def __init__(self, shard: int, *, client: RedisClient, cache: TotalsCache) -> None:
        self.stream = Stream(client, stream_key("counters", shard))
        self._client: Any = client
        self._cache = cache
        self._limits = DrainLimits(entries=_ENTRIES_MAX, payload_bytes=_BYTES_START)
        self._applied: Applied | None = None
        self._connection: psycopg.Connection[Any] | None = None

    def run(self) -> Pass:
        """Apply the oldest entries, once. redis.RedisError and psycopg.Error: nothing is known
        to be applied, and the next run does it.
        """
        seconds, micros = self._client.time(**self._at())
        self._applied = None
        try:
            drained = self._drain()
            if not drained.standby:
                self._publish(drained, seconds * 1000 + micros // 1000)
        except psycopg.Error:
            self.close()
            raise
        applied = self._applied or Applied()
        self._adapt(len(applied.totals), drained)
        self._count(applied)
        return Pass(
            standby=drained.standby,
            more=drained.more,
            entries=drained.applied + drained.repeated,
            increments=applied.increments,
            dead=applied.dead,
        )

    def close(self) -> None:
        """Close the connection to PostgreSQL; the next run opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            self._connection = connect()
        return self._connection

    def _drain(self) -> Drained:
        return drain_once(
            connection=self._connected(),
            stream=self.stream,
            apply=self._apply,
            tables=TABLES,
            limits=self._limits,
        )

    def _at(self) -> dict[str, Any]:
        """In a cluster: whose clock. The stream's own node gives its entries their times."""
        nodes = getattr(self._client, "get_node_from_key", None)
        return {} if nodes is None else {"target_nodes": nodes(self.stream.key)}

    def _apply(self, cursor: Cursor[Any], entries: list[Entry]) -> None:
        self._applied = self._apply_what_can_be(cursor, entries)

    def _apply_what_can_be(self, cursor: Cursor[Any], entries: Sequence[Entry]) -> Applied:
        """Apply the entries; by halves, if there is one that PostgreSQL will never take: it must
        not stand in the way of the rest.
        """
        try:
            with cursor.connection.transaction():
                return apply_entries(cursor, self.stream.key, entries)
        except (DataError, IntegrityError) as error:
            if len(entries) == 1:
                self._refuse(cursor, entries[0], error)
                return Applied(dead=1, steps=0)
        middle = len(entries) // 2
        first = self._apply_what_can_be(cursor, entries[:middle])
        return first.then(self._apply_what_can_be(cursor, entries[middle:]))

    def _refuse(self, cursor: Cursor[Any], entry: Entry, error: psycopg.Error) -> None:
        log.error("%s %s is refused: %s", self.stream.key, entry.id.decode(), error)
        bury(cursor, self.stream.key, Dead(entry, str(error)), DeadLetter.Reason.REFUSED)

    def _publish(self, drained: Drained, read_ms: int) -> None:
        """Write totals through, after the commit and never before."""
        until_ms = drained.at_ms if drained.more and drained.at_ms else read_ms
        applied = self._applied
        if applied is None or not applied.steps:
            number = self._number()
            self._cache.publish(self.stream.key, {}, before=number, mark=Mark(number, until_ms))
            return
        self._cache.publish(
            self.stream.key,
            applied.totals,
            before=applied.number - applied.steps,
            mark=Mark(applied.number, until_ms),
        )

    def _count(self, applied: Applied) -> None:
        if applied.increments or applied.repeated or applied.dead:
            add_figures(
                self._cache.client,
                applied=applied.increments,
                repeated=applied.repeated,
                dead=applied.dead,
            )

    def _number(self) -> int:
        query = "SELECT number FROM counters_totalspass WHERE stream = %s"
        row = self._connected().execute(query, (self.stream.key,)).fetchone()
        return int(row[0]) if row else 0

    def _adapt(self, counters: int, drained: Drained) -> None:
        size = self._limits.payload_bytes
        if counters > _COUNTERS_MANY:
            size = max(_BYTES_MIN, size // 2)
        elif counters < _COUNTERS_FEW and drained.more:
            size = min(_BYTES_MAX, size * 2)
        self._limits = replace(self._limits, payload_bytes=size)


@cache
def shard_drain(shard: int) -> ShardDrain:
    """This process's drain of a shard."""
    return ShardDrain(shard, client=open_redis(settings.REDIS_URL), cache=totals_cache())


def drain_all(shard: int, *, until_s: float, stop: Callable[[], bool] = lambda: False) -> int:
    """Run until the shard is empty, somebody else has it, `until_s` of the monotonic clock has
    passed, or `stop()`; gives how many increments were applied. Errors as in `ShardDrain.run`.
    """
    increments = 0
    while True:
        done = shard_drain(shard).run()
        increments += done.increments
        if not done.more or time.monotonic() >= until_s or stop():
            return increments
