"""The store in memory: the shortest program that keeps the promises of `timeseries.stores.base`.

For tests, where the others must agree with it, and for trying things out.
"""

from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence

import numpy as np

from runtime.drain import Drained, DrainLimits
from runtime.stream import Stream
from timeseries.batches import Rows
from timeseries.records import Query, Series, TagSummary, UnknownTagError
from timeseries.sampling import aggregator, samples_at, series
from timeseries.stores.base import GRACE_NS, Health, Retained, batch_of

PAGE_ROWS = 1_000


class Memory:
    """What both sides share: each tag's values by time, and the writers' numbers."""

    def __init__(self) -> None:
        self.tags: dict[str, dict[int, list[float]]] = {}
        self.seqs: dict[tuple[str, bytes], int] = {}
        self.refused: set[tuple[str, bytes, int]] = set()


class MemoryWriter:
    """The writing side; see `StoreWriter`."""

    def __init__(self, memory: Memory, *, limits: DrainLimits | None = None) -> None:
        self._limits = limits or DrainLimits()
        self._tags, self._seqs = memory.tags, memory.seqs
        self._refused = memory.refused

    def drain(self, stream: Stream) -> Drained:
        """Store what waits in the stream, then trim it."""
        entries = stream.read(self._limits.entries, self._limits.payload_bytes)
        if not entries:
            return Drained()
        news = []
        for entry in entries:
            if not entry.writer:
                news.append(entry)
            elif entry.seq > self._seqs.get((stream.key, entry.writer), 0):
                self._seqs[stream.key, entry.writer] = entry.seq
                if (stream.key, entry.writer, entry.seq) not in self._refused:
                    news.append(entry)
        for tag, rows in batch_of(news).latest().by_tag():
            self._tags.setdefault(tag, {}).update(rows)
        return Drained(
            applied=len(news),
            repeated=len(entries) - len(news),
            more=len(entries) >= self._limits.entries,
            trimmed=stream.trim(entries[0].id, entries[-1].id),
            at_ms=entries[-1].at_ms,
        )

    def settle(self, stream: str, writer: bytes, seq: int) -> bool:
        """True if the entry is stored; otherwise it never will be."""
        stored = self._seqs.get((stream, writer), 0) >= seq
        if not stored:
            self._refused.add((stream, writer, seq))
        return stored

    def retain(self, *, oldest_ns: int, newest_ns: int, streams: Sequence[Stream]) -> Retained:
        """Let go of what is before `oldest_ns`, but for what may still come."""
        for rows in self._tags.values():
            for time_ns in [time_ns for time_ns in rows if time_ns < oldest_ns - GRACE_NS]:
                del rows[time_ns]
        silent = [tag for tag, rows in self._tags.items() if not rows]
        for tag in silent:
            del self._tags[tag]
        return Retained(tags=len(silent))

    def close(self) -> None:
        """Nothing to let go of."""


class MemoryReader:
    """The reading side; see `StoreReader`."""

    def __init__(self, memory: Memory) -> None:
        self._tags = memory.tags

    async def sample(self, query: Query) -> Series:
        """The answer to `query`. Raises UnknownTagError."""
        rows = self._rows(query.tag)
        if query.aggregate != "last":
            worker = aggregator(query)
            worker.add(rows)
            return series(query, worker.samples())
        pairs = list(rows)
        known_ns = [time_ns for time_ns, _ in pairs]
        times_ns = query.times_ns()
        places = [bisect_right(known_ns, time_ns) for time_ns in times_ns]
        values = [pairs[place - 1][1] if place else None for place in places]
        return series(query, samples_at(times_ns, values))

    async def tags(self) -> list[TagSummary]:
        """All tags that have measurements, by name."""
        return [
            TagSummary(tag, min(rows), max(rows), len(rows))
            for tag, rows in sorted(self._tags.items(), key=lambda item: item[0].encode())
        ]

    async def export(self, tag: str, start_ns: int, end_ns: int) -> AsyncIterator[Rows]:
        """All of `tag` with start ≤ time < end, in chunks. Raises UnknownTagError."""
        rows = self._rows(tag)
        rows = rows.part((rows.times_ns >= start_ns) & (rows.times_ns < end_ns))
        places = np.arange(len(rows)) // PAGE_ROWS
        for page in np.unique(places):
            yield rows.part(places == page)

    async def health(self) -> Health:
        """It always is well."""
        return Health(ok=True)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _rows(self, tag: str) -> Rows:
        if tag not in self._tags:
            raise UnknownTagError(tag)
        rows = sorted(self._tags[tag].items())
        return Rows(
            np.array([time_ns for time_ns, _ in rows], np.int64),
            np.array([len(values) for _, values in rows], np.int64),
            np.array([value for _, values in rows for value in values], np.float64),
        )
