"""What an api worker runs to take increments and measurements: group commits, and their guard.

Made and started on the worker's loop, after the fork; `routes` then has hot routes that need it.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar
from uuid import UUID

from django.conf import settings

from commons.connecting import connect
from config import env
from config.measurements import Measurements
from config.readers import ReadLane
from config.refusals import refusal
from counters import selectors
from counters.drain import TABLES as COUNTERS_TABLES
from counters.fastpath import IncrementDoors, TotalsDoor
from counters.payload import encode_payload
from counters.records import Item as CounterItem
from runtime.addresses import Addresses
from runtime.commit import CommitLimits, GroupCommit
from runtime.drain import DrainTables, settle
from runtime.guard import Guard
from runtime.http.routes import RouteTable
from runtime.limiter import Limiter, Rate, count_unlimited, evaluate_over
from runtime.redis_link import RedisLink

Item = TypeVar("Item")
# Until then requests would pass without being counted.
_FIRST_CONNECT_S = 1.0
# Beyond, a read would wait longer than its client does.
_READS_WAITING = 512


def new_commit(
    name: str,
    *,
    shards: int,
    tables: DrainTables,
    encode: Callable[[list[Item]], bytes],
) -> GroupCommit[Item]:
    """The group commit of the stream `name`, with the limits that the environment sets."""
    return GroupCommit(
        name=name,
        url=settings.REDIS_URL,
        shards=shards,
        encode=encode,
        settle=partial(_settle, tables),
        limits=CommitLimits(
            stream_max_bytes=settings.STREAM_MAX_BYTES,
            deadline_s=env.value("INGEST_DEADLINE_S"),
        ),
    )


def _settle(tables: DrainTables, stream: str, writer: bytes, seq: int) -> bool:
    with connect() as connection:
        return settle(connection=connection, tables=tables, stream=stream, writer=writer, seq=seq)


def _read_totals(keys: Sequence[UUID]) -> list[dict[str, object]]:
    return [total._asdict() for total in selectors.totals(keys)]


class Ingest:
    """Everything that stands behind one worker's ingestion, and its reads that may wait.

    `running` is the one of this process.
    """

    running: "Ingest | None" = None

    def __init__(self) -> None:
        self.counters: GroupCommit[CounterItem] = new_commit(
            "counters",
            shards=settings.COUNTERS_SHARDS,
            tables=COUNTERS_TABLES,
            encode=encode_payload,
        )
        self.measurements = Measurements()
        self._readers = ReadLane(
            threads=max(1, env.value("DATABASE_POOL_SIZE") // 2),
            waiting=_READS_WAITING,
            refusal=refusal,
        )
        self._limits = _Limits()
        self._guard = self._limits.guard()

    def add_routes(self, table: RouteTable) -> None:
        """Add the durable writes, and the reads that may wait."""
        increments = IncrementDoors(self.counters.submit)
        protect = self._guard.protect
        table.write(b"POST", b"/increment", protect(increments.increment))
        table.write(b"POST", b"/increment/batch", protect(increments.batch))
        totals = TotalsDoor(_read_totals, self._readers.hand_over)
        table.later(b"GET", b"/counters", totals.totals)
        table.items(b"GET", b"/counters/<str:key>", totals.total)
        self.measurements.add_routes(table, self._guard)

    async def start(self) -> None:
        """Connect; goes on without Redis, and answers 503 until it is there."""
        await self._limits.start()
        await self.counters.start()
        await self.measurements.start()
        Ingest.running = self

    def reasons(self) -> list[str]:
        """Why this worker cannot take increments, if so."""
        return ["redis: does not take increments"] if self.counters.failure is not None else []

    async def stop(self) -> None:
        """Answer what was taken, then close. Nothing may arrive any more."""
        Ingest.running = None
        await self._limits.stop()
        await self.counters.stop()
        await self.measurements.stop()
        self._readers.stop()


class _Limits:
    """The rate limits of the environment, and the connection that they are counted over."""

    def __init__(self) -> None:
        self._rates = {
            name: _rate(f"INGEST_RATE_{name.upper()}") for name in ("per_address", "per_key")
        }
        self._link: RedisLink | None = None
        self._limiter: Limiter | None = None
        if any(self._rates.values()):
            self._link = RedisLink(settings.CACHE_REDIS_URL, "")
            evaluate = evaluate_over(self._link)
            self._limiter = Limiter(evaluate=evaluate, skipped=count_unlimited)

    def guard(self) -> Guard:
        """What stands before every durable write."""
        return Guard(
            keys=env.value("INGEST_API_KEYS"),
            limiter=self._limiter,
            addresses=Addresses(env.value("TRUSTED_PROXIES")),
            **self._rates,
        )

    async def start(self) -> None:
        if self._link is not None:
            self._link.start(asyncio.get_running_loop())
            await self._link.wait_connected(_FIRST_CONNECT_S)

    async def stop(self) -> None:
        if self._limiter is not None and self._link is not None:
            await self._limiter.stop()
            await self._link.stop()


def _rate(name: str) -> Rate | None:
    per_s = env.value(name)
    if not per_s:
        return None
    return Rate(per_s, max(1, round(per_s * env.value("INGEST_RATE_BURST_S"))))
