"""T4: how long the PostgreSQL store takes for a batch, the commit on disk included.

Beside it, in turns: a bare COPY of the same measurements, one row each, made and sorted
beforehand, into a table with the index (tag, time): what a store without blocks cannot beat.

The bound is for what the original's figure covers: storing. What a writer does besides, reading
the stream, unpacking and trimming, is told beside it.
"""

import time
from contextlib import closing
from statistics import median
from typing import Any

import numpy as np
import psycopg

from benchmarks.distribution import VALUES, draw, payloads
from benchmarks.report import Result, Target
from runtime.drain import DrainLimits
from runtime.redis_where import open_redis
from runtime.stream import Entry, Stream, append_words, new_writer, stream_key
from timeseries.batches import Batch
from timeseries.stores.packed import COPY_HEADER, COPY_TRAILER
from timeseries.stores.postgres import PostgresWriter

# What the original needed for its batches on 32 vCPU, in ms; the last one was of 138 450.
REFERENCES_MS = {10_000: 24.0, 50_000: 130.0, 200_000: 433.0 * 200_000 / 138_450}
ENTRY_MESSAGES = 1_000
_NS_PER_S = 1_000_000_000
_BARE = """
CREATE TABLE bench_bare (
    time_ns bigint NOT NULL, tag_id integer NOT NULL, values bytea NOT NULL,
    PRIMARY KEY (tag_id, time_ns)
)
"""
_BARE_COPY = "COPY bench_bare (time_ns, tag_id, values) FROM STDIN BINARY"
_ROW = np.dtype(
    [
        ("columns", ">i2"),
        ("time_bytes", ">i4"),
        ("time_ns", ">i8"),
        ("tag_bytes", ">i4"),
        ("tag_id", ">i4"),
        ("values_bytes", ">i4"),
        ("values", ">f8", (VALUES,)),
    ]
)
_WHOLE = DrainLimits(entries=1_000_000, payload_bytes=1 << 30)


def t4(database_url: str, redis_url: str, *, rounds: int) -> Result:
    """Batches of three sizes that are news, and the same ones repeated."""
    targets, facts = [], {}
    rng = np.random.default_rng(1)
    start_ns = time.time_ns() // _NS_PER_S * _NS_PER_S
    with closing(_Bench(database_url, redis_url)) as bench:
        for count, reference_ms in REFERENCES_MS.items():
            taken: list[tuple[float, float]] = []
            late: list[tuple[float, float]] = []
            bare: list[float] = []
            # The first one makes partitions and tags, as the first second of a deployment does.
            for number in range(rounds + 1):
                start_ns += _NS_PER_S
                batch = draw(rng, count=count, start_ns=start_ns, span_ns=_NS_PER_S)
                entries = payloads(batch, size=ENTRY_MESSAGES)
                bare_ms = bench.copy_ms(batch)
                first, again = bench.drain_ms(entries), bench.drain_ms(entries)
                if number:
                    bare.append(bare_ms)
                    taken.append(first)
                    late.append(again)
            targets += _targets(count, reference_ms, taken, late, bare)
            facts[str(count)] = {"ms": taken, "repeated_ms": late, "bare_ms": bare}
    return Result("T4", "a batch into PostgreSQL, on disk", [], targets, facts)


def _targets(
    count: int,
    reference_ms: float,
    taken: list[tuple[float, float]],
    late: list[tuple[float, float]],
    bare: list[float],
) -> list[Target]:
    stored, whole = (median(column) for column in zip(*taken, strict=True))
    return [
        Target(f"ms to store {count:,} measurements", stored, at_most=reference_ms),
        Target("ms of a bare COPY, a row for each", median(bare)),
        Target("ms from the stream to its trim", whole),
        Target("ms when all were there before", median(whole for _, whole in late)),
    ]


class _Bench:
    """A writer, with a clock between what it reads and what it has committed."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self._redis: Any = open_redis(redis_url)
        self._connection = psycopg.connect(database_url, autocommit=True)
        self._connection.execute(_BARE)
        self._stream = _Clocked(self._redis, stream_key("bench", 0))
        self._writer = PostgresWriter(
            connect=lambda: psycopg.connect(database_url, autocommit=True),
            oldest_ns=lambda: 0,
            limits=_WHOLE,
        )

    def copy_ms(self, batch: Batch) -> float:
        """Milliseconds of a bare COPY of the batch, its commit included."""
        content = COPY_HEADER + _rows(batch.latest()) + COPY_TRAILER
        began_s = time.perf_counter()
        with self._connection.cursor() as cursor, cursor.copy(_BARE_COPY) as copy:
            copy.write(content)
        return round((time.perf_counter() - began_s) * 1_000, 1)

    def drain_ms(self, entries: list[bytes]) -> tuple[float, float]:
        """Milliseconds from having read to having committed, and of all there is to do."""
        sender = new_writer()
        for seq, payload in enumerate(entries, 1):
            self._redis.execute_command(*append_words(self._stream.key, sender, seq, payload))
        began_s = time.perf_counter()
        drained = self._writer.drain(self._stream)
        ended_s = time.perf_counter()
        assert drained.applied == len(entries), drained
        stored_s = self._stream.trimming_s - self._stream.read_s
        return round(stored_s * 1_000, 1), round((ended_s - began_s) * 1_000, 1)

    def close(self) -> None:
        self._writer.close()
        self._redis.close()
        self._connection.close()


def _rows(batch: Batch) -> bytes:
    rows = np.empty(len(batch), _ROW)
    rows["columns"], rows["time_bytes"], rows["tag_bytes"] = 3, 8, 4
    rows["time_ns"], rows["tag_id"] = batch.times_ns, batch.codes
    rows["values_bytes"] = 8 * VALUES
    rows["values"] = batch.values.reshape(-1, VALUES)
    return rows.tobytes()


class _Clocked(Stream):
    """A stream that notes when it was read, and when what was read is about to be trimmed."""

    read_s = trimming_s = 0.0

    def read(self, count: int, bytes_max: int) -> list[Entry]:
        entries = super().read(count, bytes_max)
        self.read_s = time.perf_counter()
        return entries

    def trim(self, first_id: bytes, last_id: bytes) -> bool:
        self.trimming_s = time.perf_counter()
        return super().trim(first_id, last_id)
