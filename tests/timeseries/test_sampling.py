"""Each aggregate against brute force, in any chunks; LTTB against its textbook definition."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.timeseries.reference import Reference, assert_same
from tests.timeseries.strategies import messages, queries
from timeseries.batches import Batch, Rows
from timeseries.records import Measurement, Query, Sample
from timeseries.sampling import aggregator

REDUCED = ("first", "min", "max", "mean", "count")


def rows_of(batch: list[Measurement], tag: str) -> Rows | None:
    return dict(Batch.of(batch).latest().by_tag()).get(tag)


def sampled(query: Query, rows: Rows | None, cuts: list[int]) -> list[Sample]:
    worker = aggregator(query)
    if rows is not None:
        edges = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
        places = np.arange(len(rows))
        for start, end in pairwise(edges):
            worker.add(rows.part((places >= start) & (places < end)))
    return worker.samples()


@settings(deadline=None)
@given(messages, queries(REDUCED), st.lists(st.integers(0, 30), max_size=3))
def test_it_is_what_brute_force_gives(batch, query, cuts) -> None:
    rows = rows_of(batch, query.tag)
    assert_same(sampled(query, rows, cuts), Reference(batch).sample(query))


@settings(deadline=None)
@given(messages, queries(("lttb",)), st.lists(st.integers(0, 30), max_size=3))
def test_lttb_chooses_one_measurement_of_each_sub_interval(batch, query, cuts) -> None:
    rows = rows_of(batch, query.tag)
    found = sampled(query, rows, cuts)
    assert found == sampled(query, rows, [])
    kept = dict(Reference(batch).rows(query.tag))
    edges = [query.start_ns, *query.times_ns()]
    for (before, time), sample in zip(pairwise(edges), found, strict=True):
        inside = [at for at in kept if before < at <= time]
        if not inside:
            assert sample == Sample(time, None)
        else:
            assert sample.time in inside
            assert sample.values == kept[sample.time]
    chosen = [sample.time for sample in found if sample.values is not None]
    inside = sorted(at for at in kept if query.start_ns < at <= query.end_ns)
    if chosen:
        assert chosen[0] == inside[0]
    if len(chosen) > 1:
        assert chosen[-1] == inside[-1]


rows_of_any_length = st.lists(
    st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=3), min_size=4, max_size=24
)


@settings(deadline=None, max_examples=300)
@given(rows_of_any_length, st.integers(2, 4), st.lists(st.integers(0, 24), min_size=1, max_size=4))
def test_lttb_does_not_depend_on_where_rows_of_any_length_are_cut(rows, samples, cuts) -> None:
    batch = [Measurement(at, "a", values) for at, values in enumerate(rows, start=1)]
    query = Query("a", 0, len(rows), samples, "lttb")
    cut = sampled(query, rows_of(batch, "a"), cuts)
    assert cut == sampled(query, rows_of(batch, "a"), [])


def textbook_lttb(points: list[tuple[int, float]], buckets: list[list[tuple[int, float]]]):
    chosen = [points[0]]
    for k in range(1, len(buckets) - 1):
        (xa, ya), following = chosen[-1], buckets[k + 1]
        xc = sum(x for x, _ in following) / len(following)
        yc = sum(y for _, y in following) / len(following)
        areas = [abs((xa - xc) * (y - ya) - (xa - x) * (yc - ya)) / 2 for x, y in buckets[k]]
        chosen.append(buckets[k][areas.index(max(areas))])
    return [*chosen, points[-1]]


def test_lttb_is_the_textbooks() -> None:
    points = [(i, round(100 * math.sin(i / 7) + 10 * math.cos(i * i), 6)) for i in range(1, 1001)]
    batch = [Measurement(at, "a", [value]) for at, value in points]
    query = Query("a", 0, 1000, 50, "lttb")
    buckets = [points[k * 20 : k * 20 + 20] for k in range(50)]
    found = sampled(query, rows_of(batch, "a"), [7, 333, 601])
    assert [(s.time, s.values[0]) for s in found if s.values] == textbook_lttb(points, buckets)


def test_sums_of_the_largest_numbers_stay_finite() -> None:
    most = 1.7976931348623157e308
    batch = [Measurement(at, "a", [most, -most]) for at in range(1, 1001)]
    for aggregate in ("mean", "min", "max"):
        found = sampled(Query("a", 0, 1000, 1, aggregate), rows_of(batch, "a"), [500])
        assert found == [Sample(1000, [most, -most])]


def test_an_interval_of_any_size_has_its_samples() -> None:
    query = Query("a", 0, 2**63 - 1, 10_000)
    assert query.times_ns()[-1] == 2**63 - 1
    assert Query("a", 5, 6, 4).times_ns() == [5, 5, 5, 6]


def test_last_is_not_made_from_the_interval_alone() -> None:
    with pytest.raises(ValueError, match="last"):
        aggregator(Query("a", 0, 1))
