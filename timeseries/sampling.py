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

An `Aggregator` is fed rows in ascending order, chunk by chunk, so that a day of a busy tag need
not be in memory at once.
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


def matrix(counts: Ints, values: Floats, width: int = 0) -> Floats:
    """Values laid end to end as one row each, filled up with NaN, and cut at `width`: to that
    width, or by default to the longest row's.
    """
    longest = int(counts.max())
    width = width or longest
    if int(counts.min()) == longest >= width:
        return values.reshape(len(counts), longest)[:, :width]
    filled = np.full((len(counts), width), np.nan)
    kept = values
    if width < longest:
        places = np.arange(len(values)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = values[places < width]
    filled[np.arange(width) < counts[:, None]] = kept
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


class _Interval:
    """The rows of one sub-interval, in the pieces they came in."""

    def __init__(self, bucket: int) -> None:
        self.bucket = bucket
        self.pieces: list[Rows] = []

    def width(self) -> int:
        """How many elements its longest row has."""
        return max(int(piece.counts.max()) for piece in self.pieces)

    def mean(self, width: int, start_ns: int) -> tuple[float, Floats]:
        """The mean time, from `start_ns`, and the means of so many elements: NaN where none is."""
        count, time_sum = 0, np.longdouble(0)
        sums, present = np.zeros(width, np.longdouble), np.zeros(width, np.int64)
        for piece in self.pieces:
            values = matrix(piece.counts, piece.values, width)
            here = ~np.isnan(values)
            sums += np.where(here, values, 0.0).sum(axis=0, dtype=np.longdouble)
            present += here.sum(axis=0)
            count += len(piece)
            time_sum += (piece.times_ns - start_ns).sum(dtype=np.longdouble)
        with np.errstate(all="ignore"):
            return float(time_sum / count), (sums / present).astype(np.float64)


class Lttb:
    """Largest triangle, one measurement of each sub-interval.

    Keeps the rows of two sub-intervals at a time: the triangles of the one need the mean of the
    next. So with few samples of much it takes memory, as much as the rows themselves do.
    """

    def __init__(self, query: Query) -> None:
        self._buckets = _Buckets(query)
        self._start_ns = query.start_ns
        self._chosen: list[Sample] = [Sample(time, None) for time in self._buckets.times_ns]
        self._pending: list[_Interval] = []
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
            piece = Rows(rows.times_ns[start:end], rows.counts[start:end], values)
            self._interval(int(buckets[start])).pieces.append(piece)

    def _interval(self, bucket: int) -> _Interval:
        """The sub-interval of that number; the one before the last is settled when it is new."""
        if not self._pending or self._pending[-1].bucket != bucket:
            self._settle()
            self._pending.append(_Interval(bucket))
        return self._pending[-1]

    def samples(self) -> list[Sample]:
        """The samples, once all rows were added."""
        self._settle()
        if self._pending:
            interval = self._pending.pop()
            last = -1 if self._anchor is not None else 0
            self._choose(interval, interval.pieces[last], last)
        return self._chosen

    def _settle(self) -> None:
        """Choose of the sub-interval that has a successor now, if there is one."""
        if len(self._pending) < 2:
            return
        current, following = self._pending
        del self._pending[0]
        if self._anchor is None:
            self._choose(current, current.pieces[0], 0)
            return
        width = min(current.width(), following.width(), len(self._anchor[1]))
        centre = following.mean(width, self._start_ns)
        best, largest = (current.pieces[0], 0), -np.inf
        for piece in current.pieces:
            areas = self._areas(piece, centre)
            place = int(np.argmax(areas))
            if areas[place] > largest:
                best, largest = (piece, place), areas[place]
        self._choose(current, *best)

    def _areas(self, rows: Rows, centre: tuple[float, Floats]) -> Floats:
        """Twice the area of each row's triangles, added up over the elements they share."""
        assert self._anchor is not None
        (time_a, values_a), (time_c, values_c) = self._anchor, centre
        width = len(values_c)
        points = matrix(rows.counts, rows.values, width)
        times = (rows.times_ns - self._start_ns).astype(np.float64)
        with np.errstate(all="ignore"):
            left = (time_a - time_c) * (points - values_a[:width])
            right = (time_a - times)[:, None] * (values_c - values_a[:width])
            areas: Floats = np.nansum(np.abs(left - right), axis=1)
        return areas

    def _choose(self, interval: _Interval, rows: Rows, place: int) -> None:
        place %= len(rows)
        end = int(rows.counts[: place + 1].sum())
        values = rows.values[end - int(rows.counts[place]) : end]
        self._chosen[interval.bucket] = Sample(int(rows.times_ns[place]), values.tolist())
        # A copy: else the whole piece would be kept.
        self._anchor = (float(rows.times_ns[place] - self._start_ns), values.copy())
