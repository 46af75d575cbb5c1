"""Many measurements as columns, for those who store and sample them. Pure, over numpy.

`Batch` is what came through the stream: any tags, any order. `Rows` is what a store gives back:
one tag, ascending times, each time once.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timeseries.records import (
    HEADER,
    MAGIC,
    STORED_MAX_NS,
    TAG_CHARACTERS_MAX,
    VALUES_MAX,
    Measurement,
    encode,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_NONE = np.empty(0, np.int64)


class BadPayloadError(ValueError):
    """The bytes are not what `timeseries.records.encode` writes."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Measurements of one tag, ascending: `times_ns` and `counts` per row, `values` laid end to
    end, so that row i has `counts[i]` of them.
    """

    times_ns: Ints
    counts: Ints
    values: Floats

    def __len__(self) -> int:
        return len(self.times_ns)

    def __iter__(self) -> Iterator[tuple[int, list[float]]]:
        ends = np.cumsum(self.counts).tolist()
        values = self.values.tolist()
        start = 0
        for time_ns, end in zip(self.times_ns.tolist(), ends, strict=True):
            yield time_ns, values[start:end]
            start = end

    def pieces(self, most: int) -> Iterator["Rows"]:
        """The rows in their order, `most` at a time."""
        ends = np.append(0, np.cumsum(self.counts))
        for start in range(0, len(self), most):
            end = min(start + most, len(self))
            values = self.values[int(ends[start]) : int(ends[end])]
            yield Rows(self.times_ns[start:end], self.counts[start:end], values)

    def part(self, chosen: NDArray[np.bool_]) -> "Rows":
        """The rows where `chosen`, one truth per row, holds."""
        flat = np.repeat(chosen, self.counts)
        return Rows(self.times_ns[chosen], self.counts[chosen], self.values[flat])


@dataclass(frozen=True, slots=True)
class Batch:
    """Measurements of many tags: row i is of `names[codes[i]]`. Otherwise as `Rows`."""

    names: list[str]
    codes: Ints
    times_ns: Ints
    counts: Ints
    values: Floats

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def of(cls, measurements: Sequence[Measurement]) -> "Batch":
        """The batch of messages in memory."""
        return cls.decoded(encode(measurements))

    @classmethod
    def decoded(cls, payload: bytes) -> "Batch":
        """The batch in a payload of the stream. BadPayloadError for anything else."""
        try:
            magic, rows, name_bytes = HEADER.unpack_from(payload)
            start = HEADER.size
            names = payload[start : start + name_bytes].decode().split("\0") if rows else []
        except (struct.error, UnicodeDecodeError) as error:
            raise BadPayloadError("the payload does not begin as one does") from error
        if magic != MAGIC:
            raise BadPayloadError(f"the payload begins with {magic!r}")
        start += name_bytes
        times_ns = _column(payload, "<i8", rows, start)
        codes = _column(payload, "<u4", rows, start + 8 * rows)
        counts = _column(payload, "u1", rows, start + 12 * rows)
        total = int(counts.sum())
        values = _column(payload, "<f8", total, start + 13 * rows)
        if start + 13 * rows + 8 * total != len(payload):
            raise BadPayloadError("the payload goes on after its last value")
        batch = cls(names, codes.astype(np.int64), times_ns, counts.astype(np.int64), values)
        batch._check()
        return batch

    def _check(self) -> None:
        """Refuse what the doors would not have let in: nothing else may reach a store."""
        if not len(self):
            return
        if int(self.codes.max()) >= len(self.names):
            raise BadPayloadError("the payload names a tag that it does not have")
        if not 1 <= min(map(len, self.names)) <= max(map(len, self.names)) <= TAG_CHARACTERS_MAX:
            raise BadPayloadError("the payload has a tag that is too long or empty")
        if not 1 <= int(self.counts.min()) <= int(self.counts.max()) <= VALUES_MAX:
            raise BadPayloadError("the payload has too many or too few values")
        in_time = 0 <= int(self.times_ns.min()) <= int(self.times_ns.max()) <= STORED_MAX_NS
        if not in_time or not np.isfinite(self.values).all():
            raise BadPayloadError("the payload has a number that is not allowed")

    @classmethod
    def joined(cls, batches: Sequence["Batch"]) -> "Batch":
        """All of them as one, in the order given."""
        if len(batches) == 1:
            return batches[0]
        places = _Places()
        codes = [
            np.array(list(map(places.__getitem__, batch.names)), np.int64)[batch.codes]
            for batch in batches
        ]
        return cls.stacked(list(places), codes, batches)

    @classmethod
    def stacked(cls, names: list[str], codes: list[Ints], batches: Sequence["Batch"]) -> "Batch":
        """The rows of all, in the order given; `names` and `codes` are told anew, by batch."""
        return cls(
            names,
            _joined(codes, np.int64),
            _joined([batch.times_ns for batch in batches], np.int64),
            _joined([batch.counts for batch in batches], np.int64),
            _joined([batch.values for batch in batches], np.float64),
        )

    def latest(self) -> "Batch":
        """Ordered by tag and time, of equal tag and time only the one that arrived last."""
        # lexsort is stable: equal keys stay in the order of their arrival.
        order = np.lexsort((self.times_ns, self.codes))
        codes, times_ns = self.codes[order], self.times_ns[order]
        last = np.ones(len(order), np.bool_)
        last[:-1] = (codes[1:] != codes[:-1]) | (times_ns[1:] != times_ns[:-1])
        return self.taken(order[last])

    def parted(self, chosen: NDArray[np.bool_]) -> tuple["Batch", "Batch"]:
        """The rows that are chosen, and the others, both in their order."""
        if not chosen.any():
            return self.taken(_NONE), self
        if chosen.all():
            return self, self.taken(_NONE)
        return self.taken(np.flatnonzero(chosen)), self.taken(np.flatnonzero(~chosen))

    def taken(self, rows: Ints) -> "Batch":
        """The rows at these places, in this order."""
        counts = self.counts[rows]
        if width := same(self.counts):
            values = self.values.reshape(-1, width)[rows].ravel()
            return Batch(self.names, self.codes[rows], self.times_ns[rows], counts, values)
        starts = (np.cumsum(self.counts) - self.counts)[rows]
        # Where each value of the result stands: its row's start, and on from there.
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        places = np.arange(total) + np.repeat(starts - (ends - counts), counts)
        return Batch(self.names, self.codes[rows], self.times_ns[rows], counts, self.values[places])

    def by_tag(self) -> Iterator[tuple[str, Rows]]:
        """The rows of each tag, for a batch in the order of `latest`."""
        if not len(self):
            return
        ends = np.append(np.flatnonzero(np.diff(self.codes)) + 1, len(self))
        value_ends = np.cumsum(self.counts)
        start = value_start = 0
        for end in ends.tolist():
            value_end = int(value_ends[end - 1])
            yield (
                self.names[int(self.codes[start])],
                Rows(
                    self.times_ns[start:end],
                    self.counts[start:end],
                    self.values[value_start:value_end],
                ),
            )
            start, value_start = end, value_end


class _Places(dict[str, int]):
    """The place of each name, in the order in which they are first asked for."""

    def __missing__(self, name: str) -> int:
        place = self[name] = len(self)
        return place


def same(numbers: Ints) -> int:
    """The number that all of these are; 0 when they differ, or there are none."""
    first = int(numbers[0]) if len(numbers) else 0
    return first if (numbers == first).all() else 0


def _column(payload: bytes, kind: str, count: int, offset: int) -> NDArray[Any]:
    try:
        return np.frombuffer(payload, np.dtype(kind), count, offset)
    except ValueError as error:
        raise BadPayloadError("the payload is too short") from error


def _joined(columns: list[NDArray[Any]], kind: type) -> NDArray[Any]:
    return np.concatenate(columns) if columns else np.empty(0, kind)
