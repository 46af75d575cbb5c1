"""Samples out of measurements: what each aggregate means, once for all stores. Pure, over numpy.

Sample i of a query stands at t(i) = start + i·(end−start)//samples, for i = 1…samples.

- `last`: the values of the last measurement at or before t(i), however long before, also before
  `start`; None when there is none.
- `first`, `min`, `max`, `mean`, `count`: over the measurements with t(i−1) < time ≤ t(i); None
  when there is none. `first` gives the values of the first of them. The others go element by
  element, over those of them that have that element: a tag whose messages are of different
  lengths gets as many elements as its longest message in that sub-interval.
- `lttb`: one measurement of each sub-interval, with its own time, chosen by largest triangle
  (Steinarsson, "Downsampling Time Series for Visual Representation", 2013): what a person sees in
  the chart is kept. The triangle spans the point chosen before, the candidate and the mean of the
  next sub-interval that has any; with several elements their areas are added up. The first
  sub-interval that has any gives its first measurement, the last one its last. None, at t(i),
  where there is none.

An `Aggregator` is fed rows in ascending order, chunk by chunk, so that a day of a busy tag never
is in memory at once.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from timeseries.batches import Floats, Ints, Rows
from timeseries.records import VALUES_MAX, Query, Sample, Series


class Aggregator(Protocol):
    """Takes the rows of (start, end] in ascending order and gives the samples."""

    def add(self, rows: Rows) -> None:
        """The next rows, all later than those before."""

    def samples(self) -> list[Sample]:
        """The samples, once all rows were added."""


def aggregator(query: Query) -> Aggregator:
    """The aggregator of a query. ValueError for `last`, which a store answers by itself."""
    if query.aggregate == "lttb":
        return Lttb(query)
    if query.aggregate == "first":
        return First(query)
    if query.aggregate == "last":
        raise ValueError("`last` looks back beyond the interval: ask the store")
    return Reduction(query)


def series(query: Query, samples: list[Sample]) -> Series:
    """The answer that has these samples."""
    return Series(tag_name=query.tag, start=query.start_ns, end=query.end_ns, samples=samples)


def samples_at(times_ns: Sequence[int], values: Sequence[Sequence[float] | None]) -> list[Sample]:
    """Samples out of their two columns."""
    return list(map(Sample, times_ns, values))


def matrix(counts: Ints, values: Floats) -> Floats:
    """Values laid end to end as one row each, filled up with NaN."""
    width = int(counts.max())
    if int(counts.min()) == width:
        return values.reshape(len(counts), width)
    filled = np.full((len(counts), width), np.nan)
    filled[np.arange(width) < counts[:, None]] = values
    return filled


class _Buckets:
    """Which sub-interval each row lies in."""

    def __init__(self, query: Query) -> None:
        self.times_ns = query.times_ns()
        self._start_ns = query.start_ns
        self._ends_ns = np.array(self.times_ns, np.int64)

    def split(self, rows: Rows) -> tuple[Rows, Ints]:
        """The rows inside the interval, and the number of the sub-interval of each, from 0."""
        inside = (rows.times_ns > self._start_ns) & (rows.times_ns <= self._ends_ns[-1])
        if not inside.all():
            rows = rows.part(inside)
        return rows, np.searchsorted(self._ends_ns, rows.times_ns, side="left")


def _run_starts(buckets: Ints) -> Ints:
    """Where each run of equal numbers begins."""
    return np.append(0, np.flatnonzero(np.diff(buckets)) + 1)


class First:
    """The first measurement of each sub-interval."""

    def __init__(self, query: Query) -> None:
        self._buckets = _Buckets(query)
        self._values: list[list[float] | None] = [None] * query.samples

    def add(self, rows: Rows) -> None:
        """The next rows, all later than those before."""
        rows, buckets = self._buckets.split(rows)
        if not len(rows):
            return
        chosen = np.zeros(len(rows), np.bool_)
        starts = _run_starts(buckets)
        chosen[starts] = True
        pairs = zip(buckets[starts].tolist(), rows.part(chosen), strict=True)
        for bucket, (_, values) in pairs:
            if self._values[bucket] is None:
                self._values[bucket] = values

    def samples(self) -> list[Sample]:
        """The samples, once all rows were added."""
        return samples_at(self._buckets.times_ns, self._values)


class Reduction:
    """`min`, `max`, `mean` or `count` of each element in each sub-interval."""

    def __init__(self, query: Query) -> None:
        self._buckets = _Buckets(query)
        self._aggregate = query.aggregate
        shape = (query.samples, VALUES_MAX)
        self._counts = np.zeros(shape, np.int64)
        self._lowest = np.full(shape, np.inf)
        self._highest = np.full(shape, -np.inf)
        # Wider than the values: a sum of finite values then is finite, and exact enough.
        self._sums = np.zeros(shape, np.longdouble)

    def add(self, rows: Rows) -> None:
        """The next rows, all later than those before."""
        rows, buckets = self._buckets.split(rows)
        if not len(rows):
            return
        values = matrix(rows.counts, rows.values)
        starts = _run_starts(buckets)
        place = (buckets[starts], slice(0, values.shape[1]))
        present = ~np.isnan(values)
        self._counts[place] += np.add.reduceat(present, starts, axis=0, dtype=np.int64)
        if self._aggregate in ("min", "mean"):
            lowest = np.fmin.reduceat(values, starts, axis=0)
            self._lowest[place] = np.fmin(self._lowest[place], lowest)
        if self._aggregate in ("max", "mean"):
            highest = np.fmax.reduceat(values, starts, axis=0)
            self._highest[place] = np.fmax(self._highest[place], highest)
        if self._aggregate == "mean":
            wide = np.where(present, values, 0.0).astype(np.longdouble)
            self._sums[place] += np.add.reduceat(wide, starts, axis=0)

    def samples(self) -> list[Sample]:
        """The samples, once all rows were added."""
        widths = (self._counts > 0).sum(axis=1).tolist()
        table = self._table().tolist()
        values = [row[:width] if width else None for row, width in zip(table, widths, strict=True)]
        return samples_at(self._buckets.times_ns, values)

    def _table(self) -> NDArray[np.float64] | Ints:
        if self._aggregate == "count":
            return self._counts
        if self._aggregate == "min":
            return self._lowest
        if self._aggregate == "max":
            return self._highest
        means = (self._sums / np.maximum(self._counts, 1)).astype(np.float64)
        # Rounding may lead out of the range of what was averaged, even to infinity.
        return np.clip(means, self._lowest, self._highest)


class Lttb:
    """Largest triangle, one measurement of each sub-interval."""

    def __init__(self, query: Query) -> None:
        self._buckets = _Buckets(query)
        self._start_ns = query.start_ns
        self._chosen: list[Sample] = [Sample(time, None) for time in self._buckets.times_ns]
        self._pending: list[tuple[int, Rows]] = []
        self._anchor: tuple[float, Floats] | None = None

    def add(self, rows: Rows) -> None:
        """The next rows, all later than those before."""
        rows, buckets = self._buckets.split(rows)
        if not len(rows):
            return
        ends = np.cumsum(rows.counts)
        starts = _run_starts(buckets).tolist()
        for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
            values = rows.values[int(ends[start] - rows.counts[start]) : int(ends[end - 1])]
            self._put(
                int(buckets[start]), Rows(rows.times_ns[start:end], rows.counts[start:end], values)
            )

    def _put(self, bucket: int, rows: Rows) -> None:
        """Rows of one sub-interval; the one before the last is settled when a new one begins."""
        if self._pending and self._pending[-1][0] == bucket:
            before = self._pending[-1][1]
            rows = Rows(
                np.concatenate((before.times_ns, rows.times_ns)),
                np.concatenate((before.counts, rows.counts)),
                np.concatenate((before.values, rows.values)),
            )
            self._pending[-1] = (bucket, rows)
            return
        if len(self._pending) == 2:
            self._settle(self._pending.pop(0), self._pending[0])
        self._pending.append((bucket, rows))

    def samples(self) -> list[Sample]:
        """The samples, once all rows were added."""
        if len(self._pending) == 2:
            self._settle(self._pending.pop(0), self._pending[0])
        if self._pending:
            bucket, rows = self._pending.pop()
            self._choose(bucket, rows, 0 if self._anchor is None else len(rows) - 1)
        return self._chosen

    def _settle(self, current: tuple[int, Rows], following: tuple[int, Rows]) -> None:
        bucket, rows = current
        if self._anchor is None:
            self._choose(bucket, rows, 0)
            return
        self._choose(bucket, rows, int(np.argmax(self._areas(rows, following[1]))))

    def _areas(self, rows: Rows, following: Rows) -> Floats:
        """Twice the area of each row's triangles, added up over the elements they share."""
        assert self._anchor is not None
        time_a, values_a = self._anchor
        points = matrix(rows.counts, rows.values)
        nexts = matrix(following.counts, following.values)
        width = min(points.shape[1], nexts.shape[1], len(values_a))
        times = (rows.times_ns - self._start_ns).astype(np.float64)
        time_c = float((following.times_ns - self._start_ns).mean())
        with np.errstate(all="ignore"):
            values_c = np.nanmean(nexts[:, :width], axis=0)
            left = (time_a - time_c) * (points[:, :width] - values_a[:width])
            right = (time_a - times)[:, None] * (values_c - values_a[:width])
            areas: Floats = np.nansum(np.abs(left - right), axis=1)
        return areas

    def _choose(self, bucket: int, rows: Rows, place: int) -> None:
        end = int(rows.counts[: place + 1].sum())
        values = rows.values[end - int(rows.counts[place]) : end]
        self._chosen[bucket] = Sample(int(rows.times_ns[place]), values.tolist())
        self._anchor = (float(rows.times_ns[place] - self._start_ns), values)
