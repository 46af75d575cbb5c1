"""Reads of the counters: totals from the cache, else PostgreSQL; history; how far the drain is.

`as_of` is the moment until which everything that was accepted is in a total. It is never later
than the truth: without the cache it is when the last batch that PostgreSQL knows was accepted.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from logging import getLogger
from typing import Any, NamedTuple
from uuid import UUID

import redis
from django.conf import settings
from django.db import connection

from counters.figures import read_figures
from counters.flights import Flights
from counters.models import DeadLetter
from counters.queries import STEP, Window
from counters.totals import View, streams, totals_cache
from runtime.redis_where import open_redis
from runtime.stream import Stream

log = getLogger(__name__)
_STATE_TIMEOUT_S = 0.5

# One statement, one snapshot: totals and how far they go belong together.
_TOTALS_SQL = """
    SELECT uuid_send(key), value, NULL, NULL FROM counters_counter WHERE key = ANY(%s::uuid[])
    UNION ALL
    SELECT NULL, coalesce(pass.number, 0), wanted.stream, coalesce(cursor.at_ms, 0)
      FROM unnest(%s::text[]) AS wanted (stream)
      LEFT JOIN counters_totalspass pass USING (stream)
      LEFT JOIN counters_streamcursor cursor USING (stream)
"""
# Every bucket is looked up by itself: the key comes last in the index, see `counters.models`.
_HISTORY_SQL = """
    SELECT history.bucket, history.value
      FROM generate_series(%(start)s, %(last)s, %(step)s::interval) AS wanted (bucket)
      CROSS JOIN LATERAL (
           SELECT bucket, value FROM counters_history
            WHERE width_s = %(width_s)s AND bucket = wanted.bucket AND key = %(key)s
           OFFSET 0
           ) AS history
"""
_flights: Flights[bytes, "Total"] = Flights()


class Total(NamedTuple):
    """A counter's total, which holds all that was accepted until `as_of`."""

    key: UUID
    value: int
    as_of: datetime


class ShardState(NamedTuple):
    """How far one shard is. `waiting` counts entries (batches) in its stream, `waiting_bytes` is
    their memory, `lag_s` the age of the oldest.
    """

    stream: str
    waiting: int
    waiting_bytes: int
    lag_s: float


@dataclass(frozen=True, kw_only=True)
class State:
    """How the counters are doing: every shard, open dead letters, and what drains have done."""

    shards: list[ShardState]
    dead_letters: int
    figures: dict[str, int]

    @property
    def lag_s(self) -> float:
        """Age of the oldest batch that is not yet in PostgreSQL; 0 when there is none."""
        return max((shard.lag_s for shard in self.shards), default=0.0)


def totals(keys: Sequence[UUID]) -> list[Total]:
    """The totals in the order of `keys`; 0 for a counter that nobody ever incremented.

    django.db.OperationalError when PostgreSQL is needed and away.
    """
    wanted = list(dict.fromkeys(key.bytes for key in keys))
    view = _cached(wanted)
    found = _known(wanted, view)
    missing = [key for key in wanted if key not in found]
    if missing:
        found |= _flights.get(missing, lambda claimed: _stored(claimed, view))
    return [found[key.bytes] for key in keys]


def _cached(keys: Sequence[bytes]) -> View:
    """What the cache knows; nothing while Redis is away."""
    try:
        return totals_cache().read(keys)
    except (redis.RedisError, OSError) as error:
        log.warning("totals are read from PostgreSQL, the cache is away: %s", error)
        return View(None, {}, [None] * len(keys))


def _known(keys: Sequence[bytes], view: View) -> dict[bytes, Total]:
    if view.until_ms is None:
        return {}
    as_of = _moment(view.until_ms)
    values = {key: view.value(position) for position, key in enumerate(keys)}
    return {
        key: Total(UUID(bytes=key), value, as_of)
        for key, value in values.items()
        if value is not None
    }


def _stored(keys: Sequence[bytes], view: View) -> dict[bytes, Total]:
    """The totals in PostgreSQL, which are then cached."""
    values, as_of = read_stored(keys, view)
    if view.epoch is not None:
        try:
            totals_cache().fill(values, view.epoch)
        except (redis.RedisError, OSError) as error:
            log.warning("totals are not cached: %s", error)
    return {key: Total(UUID(bytes=key), value, as_of) for key, value in values.items()}


def read_stored(keys: Sequence[bytes], view: View) -> tuple[dict[bytes, int], datetime]:
    """PostgreSQL's totals, 0 for a counter that is not there, and until when they count all.

    A stream's mark in `view`, which was read before, tells more than the stream's last batch: that
    nothing came after it.
    """
    rows = _query(_TOTALS_SQL, ([key.hex() for key in keys], streams()))
    values = dict.fromkeys(keys, 0)
    until_ms = []
    for key, value, stream, at_ms in rows:
        if stream is None:
            values[bytes(key)] = value
            continue
        mark = view.marks.get(stream)
        known_ms = mark.until_ms if mark is not None and mark.number <= value else 0
        until_ms.append(max(at_ms, known_ms))
    return values, _moment(min(until_ms))


def history(key: UUID, window: Window) -> dict[datetime, int]:
    """By how much the counter grew in each bucket of the window; those of nothing are left out."""
    step = STEP[window.granularity]
    rows = _query(
        _HISTORY_SQL,
        {
            "start": window.start,
            "last": window.end - step,
            "step": step,
            "width_s": int(step.total_seconds()),
            "key": key,
        },
    )
    return dict(rows)


def state() -> State:
    """How far the drain is, and what it has done. redis.RedisError when Redis is away."""
    return State(
        shards=[_shard_state(stream) for stream in _streams()],
        dead_letters=DeadLetter.objects.filter(replayed_at=None).count(),
        figures=read_figures(totals_cache().client),
    )


def open_dead_letters() -> list[int]:
    """The ids of all dead letters that were not replayed, the oldest first."""
    return list(
        DeadLetter.objects.filter(replayed_at=None).order_by("pk").values_list("pk", flat=True)
    )


def _shard_state(stream: Stream) -> ShardState:
    oldest_ms = stream.oldest_ms()
    return ShardState(
        stream=stream.key,
        waiting=stream.length(),
        waiting_bytes=stream.size_bytes(),
        lag_s=0.0 if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000),
    )


@cache
def _streams() -> tuple[Stream, ...]:
    client = open_redis(settings.REDIS_URL, timeout_s=_STATE_TIMEOUT_S)
    return tuple(Stream(client, key) for key in streams())


def _query(sql: str, parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
