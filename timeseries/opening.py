"""Opens the store that the settings name, for the processes that read and write it.

Nothing here is shared: who opens something closes it.
"""

import time
from functools import partial
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from psycopg_pool import AsyncConnectionPool

from commons.connecting import connect, own_parameters
from runtime.drain import DrainLimits
from runtime.redis_where import RedisClient, open_redis
from runtime.stream import Stream, stream_key
from timeseries.messages import Acceptance
from timeseries.queries import Reach
from timeseries.stores.base import StoreReader, StoreWriter
from timeseries.stores.postgres import PostgresWriter
from timeseries.stores.postgres_reader import PostgresReader

STREAM = "timeseries"
STORES = ("postgres", "kdb")
# What a request for all that is kept may lose on its way.
GRACE_S = 1.0
_WRITE_LIMITS = DrainLimits(entries=5_000, payload_bytes=24 * 1024 * 1024)
_NS_PER_S = 1_000_000_000
# Nothing here takes so long that compiling it would pay.
_NO_JIT = "-c jit=off"


def open_streams(client: RedisClient | None = None) -> list[Stream]:
    """All shards of the stream, as drains see them."""
    client = client or open_redis(settings.REDIS_URL)
    return [
        Stream(client, stream_key(STREAM, shard)) for shard in range(settings.TIMESERIES_SHARDS)
    ]


def new_acceptance() -> Acceptance:
    """What decides which messages are accepted."""
    return Acceptance(
        retention_s=settings.TIMESERIES_RETENTION_S,
        ahead_s=settings.TIMESERIES_AHEAD_S,
        now_ns=time.time_ns,
    )


def new_reach() -> Reach:
    """What decides how far back may be asked."""
    return Reach(retention_s=settings.TIMESERIES_RETENTION_S, grace_s=GRACE_S, now_ns=time.time_ns)


def oldest_ns() -> int:
    """What is before this is past the retention."""
    return time.time_ns() - settings.TIMESERIES_RETENTION_S * _NS_PER_S


def open_writer(store: str = "") -> StoreWriter:
    """The writing side of `store`, by default the one that the settings name."""
    store = store or settings.TIMESERIES_STORE
    if store == "postgres":
        return PostgresWriter(
            connect=partial(connect, _NO_JIT),
            oldest_ns=oldest_ns,
            limits=_WRITE_LIMITS,
            partition_hours=settings.TIMESERIES_PARTITION_HOURS,
        )
    if store == "kdb":
        writer: StoreWriter = _kdb().KdbWriter(kdb_urls(), limits=_WRITE_LIMITS)
        return writer
    raise ImproperlyConfigured(f"TIMESERIES_STORE: there is no store {store!r}")


def kdb_urls() -> list[str]:
    """The kdb+ that is written to, and the one that is asked: often the same."""
    if not settings.KDB_URL:
        raise ImproperlyConfigured("KDB_URL: is required with TIMESERIES_STORE=kdb")
    return [settings.KDB_URL, settings.KDB_QUERY_URL or settings.KDB_URL]


def _kdb() -> Any:
    """The store in kdb+, whose client is not installed everywhere."""
    try:
        from timeseries.stores import kdb
    except ImportError as error:
        raise ImproperlyConfigured("TIMESERIES_STORE: kdb needs requirements/kdb.txt") from error
    return kdb


def settle(stream: str, writer: bytes, seq: int) -> bool:
    """Decide whether a writer's batch counts; see `StoreWriter.settle`. For threads."""
    store = open_writer()
    try:
        return store.settle(stream, writer, seq)
    finally:
        store.close()


async def open_reader() -> StoreReader:
    """The reading side of the store, on the running loop. Does not wait for the store."""
    if settings.TIMESERIES_STORE == "postgres":
        pool = _reading_pool()
        await pool.open(wait=False)
        return PostgresReader(pool, limit_s=settings.TIMESERIES_READ_S)
    if settings.TIMESERIES_STORE == "kdb":
        limits = {"limit_s": settings.TIMESERIES_READ_S, "most": settings.TIMESERIES_READERS}
        reader: StoreReader = _kdb().KdbReader(kdb_urls()[-1], **limits)
        return reader
    raise ImproperlyConfigured(f"TIMESERIES_STORE: there is no store {settings.TIMESERIES_STORE!r}")


def _reading_pool() -> AsyncConnectionPool[Any]:
    limit_ms = int(settings.TIMESERIES_READ_S * 1_000)
    # Blocks lie in the order they are asked for. While PostgreSQL has no statistics of a partition
    # it would rather sort all that is left of an interval, for each page of it.
    plans = "-c enable_sort=off -c enable_bitmapscan=off"
    bounds = f"-c statement_timeout={limit_ms} -c default_transaction_read_only=on"
    return AsyncConnectionPool(
        kwargs=own_parameters(f"{_NO_JIT} {bounds} {plans}"),
        min_size=1,
        max_size=settings.TIMESERIES_READERS,
        max_idle=60,
        timeout=settings.TIMESERIES_READ_S,
        # After PostgreSQL was restarted the pool holds dead connections: each would cost a read.
        check=AsyncConnectionPool.check_connection,
        # As Django's own pool: it tries on for as long as PostgreSQL is away.
        reconnect_timeout=86_400,
        name="timeseries-readers",
        open=False,
    )
