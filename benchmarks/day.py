"""`python -m benchmarks.day --rate 1000`: a day of measurements in its partitions, then questions.

A whole day at the original's average rate, 10 000 a second, is 864 million measurements, which
take 140 GB and hours to write. A smaller rate gives the same partitions, tags and layout, as the
batches are of the size that they have in a second of the full rate.
"""

import argparse
import asyncio
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psycopg
from psycopg_pool import AsyncConnectionPool
from rich.console import Console
from rich.table import Table

from benchmarks.distribution import VALUES, draw, tag_name
from benchmarks.house import Catalog
from tests.support.stores import Stores
from timeseries.partitions import HOUR_NS, drop_partitions
from timeseries.records import Query
from timeseries.stores.postgres_apply import Apply
from timeseries.stores.postgres_reader import PostgresReader

FULL_RATE = 10_000
BATCH = 10_000
HOURS = 24
TOP_TAGS = 100
_NS_PER_S = 1_000_000_000
_SIZES = """
SELECT sum(pg_table_size(i.inhrelid))::bigint, sum(pg_indexes_size(i.inhrelid))::bigint
FROM pg_inherits i WHERE i.inhparent = 'timeseries_block'::regclass
"""


def fill(connection: psycopg.Connection[Any], *, rate: int, start_ns: int) -> int:
    """Write a day of measurements as the writer does; gives how many."""
    apply = Apply(oldest_ns=lambda: 0, partition_hours=1)
    rng = np.random.default_rng(1)
    count = rate * HOURS * 3600
    for at in range(0, count, BATCH):
        size = min(BATCH, count - at)
        batch_start_ns = start_ns + at * _NS_PER_S // rate
        batch = draw(rng, count=size, start_ns=batch_start_ns, span_ns=size * _NS_PER_S // rate)
        with connection.transaction(), connection.cursor() as cursor:
            apply.store(cursor, batch)
    connection.execute("VACUUM ANALYZE timeseries_block")
    return count


async def ask(url: str, queries: list[Query]) -> list[float]:
    """Milliseconds of each query, one after the other."""
    pool = AsyncConnectionPool(url, min_size=1, max_size=1, kwargs={"autocommit": True}, open=False)
    await pool.open(wait=True)
    reader = PostgresReader(pool, limit_s=60)
    taken_ms = []
    for query in queries:
        began_s = time.perf_counter()
        answer = await reader.sample(query)
        taken_ms.append((time.perf_counter() - began_s) * 1_000)
        assert any(sample.values for sample in answer.samples)
    await reader.close()
    return taken_ms


def questions(start_ns: int) -> dict[str, list[Query]]:
    """What is asked, by what it shows: windows of all sizes and ages, of the top tags."""
    end_ns = start_ns + HOURS * HOUR_NS
    spans = {
        "24 h": (start_ns, end_ns),
        "the first hour": (start_ns, start_ns + HOUR_NS),
        "the last hour": (end_ns - HOUR_NS, end_ns),
        "the first 10 minutes": (start_ns, start_ns + HOUR_NS // 6),
        "the last 10 minutes": (end_ns - HOUR_NS // 6, end_ns),
    }
    tags = [tag_name(place) for place in range(TOP_TAGS)]
    return {name: [Query(tag, *span) for tag in tags] for name, span in spans.items()} | {
        "mean over the last hour": [
            Query(tag, *spans["the last hour"], aggregate="mean") for tag in tags
        ]
    }


def report(console: Console, url: str, start_ns: int) -> None:
    """Ask, and print what it took."""
    table = Table("1000 samples of", "p50 ms", "p99 ms", "first time, p99 ms")
    for name, queries in questions(start_ns).items():
        first, again = (asyncio.run(ask(url, queries)) for _ in range(2))
        cuts = quantiles(again, n=100)
        table.add_row(name, *(f"{each:.1f}" for each in (cuts[49], cuts[98])), _p99(first))
    console.print(table)


def _p99(taken_ms: list[float]) -> str:
    return f"{quantiles(taken_ms, n=100)[98]:.1f}"


def main() -> None:
    """Fill, ask, measure, and let go of half of it."""
    parser = argparse.ArgumentParser(prog="benchmarks.day", description=__doc__)
    parser.add_argument("--rate", type=int, default=100, help="measurements a second")
    rate = parser.parse_args().rate
    console = Console()
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start_ns = int(today.timestamp()) * _NS_PER_S - HOURS * HOUR_NS
    with Stores() as stores, TemporaryDirectory(prefix="adhouse-day-") as directory:
        url = Catalog(stores, Path(directory), count=1).database_url
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            began_s = time.monotonic()
            count = fill(connection, rate=rate, start_ns=start_ns)
            console.print(f"{count:,} measurements in {time.monotonic() - began_s:.0f} s")
            row = connection.execute(_SIZES).fetchone()
            assert row is not None
            for name, size_bytes in zip(("tables", "indexes"), row, strict=True):
                full_gb = size_bytes / count * FULL_RATE * 86_400 / 1e9
                console.print(
                    f"{name}: {size_bytes / count:.0f} bytes each, {VALUES} values; "
                    f"{full_gb:.0f} GB a day at {FULL_RATE:,}/s"
                )
            report(console, url, start_ns)
            began_s = time.monotonic()
            dropped = drop_partitions(connection, start_ns + HOURS // 2 * HOUR_NS)
            console.print(f"{len(dropped)} hours dropped in {time.monotonic() - began_s:.2f} s")


if __name__ == "__main__":
    main()
