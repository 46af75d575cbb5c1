"""The producer's mix and plan, and when the commands fail."""

import math
from collections import Counter
from itertools import pairwise

import pytest
from django.core.management import CommandError, call_command

from timeseries.load.asking import Bounds, Connection, Figures, broken
from timeseries.load.mix import Mix, tag_name
from timeseries.load.producing import Plan
from timeseries.messages import Acceptance


def test_the_first_tag_has_a_hundredth_and_so_on():
    mix = Mix(tags=10_000, seed=1)
    counts = Counter(mix.place() for _ in range(100_000))
    for place in (0, 1, 10, 100):
        assert counts[place] / 100_000 == pytest.approx(0.01 * 0.99**place, rel=0.2)


def test_few_tags_get_all():
    assert {Mix(tags=3).place() for _ in range(10)} <= {0, 1, 2}
    uniform = Mix(tags=4, distribution="uniform")
    counts = Counter(uniform.place() for _ in range(4_000))
    assert set(counts) == {0, 1, 2, 3}
    assert min(counts.values()) > 800


def test_messages_are_accepted_and_change_little():
    now_ns = 1_700_000_000_000_000_000
    acceptance = Acceptance(retention_s=60, ahead_s=0, now_ns=lambda: now_ns)
    mix = Mix(tags=1, width=10)
    batch = acceptance.batch(mix.body(range(now_ns - 100, now_ns)))
    assert [each.time for each in batch] == list(range(now_ns - 100, now_ns))
    assert {each.tag for each in batch} == {tag_name(0)}
    for one, next_one in pairwise(batch):
        for value, next_value in zip(one.values, next_one.values, strict=True):
            assert abs(value - next_value) <= 0.502


def test_a_plan_has_a_burst_each_minute():
    plan = Plan(rate=100, burst=1000, duration_s=math.inf)
    assert [plan.due(s) for s in (0, 0.5, 1, 30, 60, 61)] == [0, 550, 1100, 4000, 7000, 8100]


@pytest.mark.parametrize(
    "arguments",
    [
        ("produce_measurements", "--rate", "0"),
        ("produce_measurements", "--rate", "1.5"),
        ("produce_measurements", "--burst", "-1"),
        ("produce_measurements", "--tags", "-1"),
        ("produce_measurements", "--duration", "nan"),
        ("produce_measurements", "--connections", "0"),
        ("query_measurements", "--clients", "0"),
        ("query_measurements", "--rate", "inf"),
        ("query_measurements", "--window", "-1"),
        ("query_measurements", "--duration", "0"),
        ("write_timeseries", "--interval", "0"),
    ],
)
def test_options_out_of_range(arguments):
    with pytest.raises(CommandError, match=arguments[1]):
        call_command(*arguments)


def figures(*durations_s: float, errors: int = 0) -> Figures:
    found = Figures()
    for duration_s in durations_s:
        found.add(200, duration_s)
    for _ in range(errors):
        found.add(503, 0.1)
    return found


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (Bounds(errors=1), []),
        (Bounds(), ["1 errors, 0 allowed"]),
        (Bounds(errors=1, p99_ms=100), []),
        (Bounds(errors=1, p99_ms=99), ["p99 100.0, 99 allowed"]),
        (Bounds(errors=1, lag_s=1), ["lag 1.5, 1 allowed"]),
        (Bounds(errors=1, lag_s=1.5), []),
        # What was not measured keeps no bound.
        (Bounds(errors=1, behind_s=1), ["behind None, 1 allowed"]),
    ],
)
def test_bounds(bounds, words):
    assert broken(bounds, figures(*[0.01] * 10, 0.1, errors=1), lag_s=1.5) == words


def test_nothing_measured_keeps_no_bound():
    assert broken(Bounds(p99_ms=100), Figures()) == ["p99 nan, 100 allowed"]


def test_percentiles():
    found = figures(*(n / 1000 for n in range(1, 101)))
    assert (found.percentile_s(0.5), found.percentile_s(0.99)) == (0.05, 0.099)
    assert found.words() == "100 answers, p50 50.0 ms, p99 99.0 ms, errors: none"


def test_no_answer_is_an_answer():
    connection = Connection("http://127.0.0.1:1")
    assert [connection.ask("GET", "/api").status for _ in range(2)] == [0, 0]
