"""What people look at: the tags of the store, how fast measurements come, and what they take."""

import asyncio
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import NamedTuple, TypeVar

from django.db import connection
from django.db.models import Sum

from runtime.redis_where import open_redis
from timeseries.models import TagHour
from timeseries.opening import open_reader, open_streams
from timeseries.partitions import HOUR_NS, partitions
from timeseries.stores.base import StoreReader

Found = TypeVar("Found")
_REDIS_S = 0.5
_NS_PER_S = 1_000_000_000
_SIZES = """
SELECT c.relname, pg_total_relation_size(c.oid)
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'timeseries_block'::regclass
"""


class Waiting(NamedTuple):
    """What was accepted and is not stored yet: the age of the oldest, batches, bytes in Redis."""

    lag_s: float
    batches: int
    size_bytes: int


class PartitionSize(NamedTuple):
    """One table of measurements: from when, how many, and bytes with its index."""

    low_ns: int
    measurements: int
    size_bytes: int


def ask_store(ask: Callable[[StoreReader], Awaitable[Found]]) -> Found:
    """What `ask` finds, on an event loop of its own. StoreAwayError, UnknownTagError."""

    async def asked() -> Found:
        reader = await open_reader()
        try:
            return await ask(reader)
        finally:
            await reader.close()

    return asyncio.run(asked())


def waiting(redis_url: str) -> Waiting:
    """How far the store is behind. redis.RedisError."""
    with closing(open_redis(redis_url, timeout_s=_REDIS_S)) as client:
        streams = open_streams(client)
        oldest_ms = [at for stream in streams if (at := stream.oldest_ms()) is not None]
        return Waiting(
            lag_s=max(0.0, time.time() - min(oldest_ms) / 1000) if oldest_ms else 0.0,
            batches=sum(stream.length() for stream in streams),
            size_bytes=sum(stream.size_bytes() for stream in streams),
        )


def rate_per_s() -> float:
    """Measurements a second of the last full hour and what there is of this one."""
    now_ns = time.time_ns()
    first_ns = now_ns // HOUR_NS * HOUR_NS - HOUR_NS
    hours = TagHour.objects.filter(hour_ns__gte=first_ns, hour_ns__lte=now_ns)
    count = hours.aggregate(count=Sum("count"))["count"] or 0
    return float(count) * _NS_PER_S / (now_ns - first_ns)


def partition_sizes() -> list[PartitionSize]:
    """The tables of the PostgreSQL store, the newest first."""
    with connection.cursor() as cursor:
        cursor.execute(_SIZES)
        bytes_of = dict(cursor.fetchall())
    # By their bounds: one that was made by hand may have any name.
    found = reversed(partitions(connection.connection))
    sizes = {each.low_ns: bytes_of.get(each.name, 0) for each in found}
    # An hour is in the last partition that begins at or before it.
    lows_ns = sorted(sizes)
    counts: Counter[int] = Counter()
    for hour_ns, count in TagHour.objects.values_list("hour_ns").annotate(count=Sum("count")):
        if place := bisect_right(lows_ns, hour_ns):
            counts[lows_ns[place - 1]] += count
    return [PartitionSize(low_ns, counts[low_ns], size) for low_ns, size in sizes.items()]
