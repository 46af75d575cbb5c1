"""The reconciler tells a delay from a difference, and repairs differences only."""

from typing import Any

import pytest

from counters import reconcile as reconciler
from counters import selectors
from counters.reconcile import reconcile
from counters.records import Batch, Increment
from counters.totals import EPOCH_KEY, total_key
from tests.counters.support import A, B, C, Shard, execute


def cached(shard: Shard, key) -> int | None:
    return shard.drain._cache.read([key.bytes]).value(0)


def put(shard: Shard, key, value: int) -> None:
    """Make the cache say something, as of now."""
    raw: Any = shard.server.get(EPOCH_KEY)
    shard.server.set(total_key(key.bytes), f"{raw.decode()}:{value}")


@pytest.fixture
def filled(shard: Shard) -> Shard:
    shard.append(Increment(A, 10), Increment(B, 20))
    shard.run()
    return shard


def test_what_agrees_is_left_alone(filled: Shard) -> None:
    put(filled, C, 0)
    done = reconcile(filled.drain._cache)
    assert (done.checked, done.delayed, done.different, done.whole) == (3, 0, 0, True)
    assert (cached(filled, A), cached(filled, B), cached(filled, C)) == (10, 20, 0)


@pytest.mark.parametrize("wrong", [9, 11])
def test_a_difference_is_removed_and_counted(filled: Shard, wrong: int) -> None:
    put(filled, A, wrong)
    done = reconcile(filled.drain._cache)
    assert (done.checked, done.delayed, done.different) == (2, 0, 1)
    assert (cached(filled, A), cached(filled, B)) == (None, 20)
    assert selectors.totals([A])[0].value == 10
    assert reconcile(filled.drain._cache).different == 0
    assert selectors.state().figures["different"] == 1


def test_a_counter_that_the_database_does_not_have(filled: Shard) -> None:
    put(filled, C, 1)
    assert reconcile(filled.drain._cache).different == 1
    assert cached(filled, C) is None


def test_what_is_committed_and_not_yet_written_through_is_a_delay(filled: Shard) -> None:
    filled.append(Increment(A, 1))
    filled.drain._drain()
    done = reconcile(filled.drain._cache)
    assert (done.checked, done.delayed, done.different) == (2, 1, 0)
    assert cached(filled, A) == 10


def test_what_is_written_through_while_we_look_is_a_delay(filled: Shard, monkeypatch) -> None:
    real = reconciler._stored

    def meanwhile(keys: list[bytes]) -> dict[bytes, int]:
        found = real(keys)
        monkeypatch.setattr(reconciler, "_stored", real)
        filled.append(Increment(A, 1))
        filled.run()
        return found

    monkeypatch.setattr(reconciler, "_stored", meanwhile)
    done = reconcile(filled.drain._cache)
    assert (done.checked, done.delayed, done.different) == (2, 1, 0)
    assert cached(filled, A) == 11


def test_what_is_of_another_epoch_is_not_read_and_not_compared(filled: Shard) -> None:
    filled.server.set(total_key(A.bytes), "older:3")
    done = reconcile(filled.drain._cache)
    assert (done.checked, done.different) == (1, 0)


def test_a_database_that_went_back_makes_the_cache_begin_anew(filled: Shard) -> None:
    execute("UPDATE counters_counter SET value = 1")
    execute("DELETE FROM counters_totalspass")
    reconcile(filled.drain._cache)
    assert selectors.totals([A])[0].value == 1
    filled.append(Increment(A, 1))
    filled.run()
    assert selectors.totals([A, B])[0].value == 2
    assert cached(filled, A) == 2


def test_it_goes_slice_by_slice_and_on_where_it_ended(filled: Shard, monkeypatch) -> None:
    monkeypatch.setattr(reconciler, "SLICE", 10)
    keys = [type(A)(int=number) for number in range(1000, 1200)]
    filled.append(Batch.of([Increment(key, 1) for key in keys]))
    filled.run()
    put(filled, keys[0], 5)
    runs = [reconcile(filled.drain._cache, slices=3)]
    while not runs[-1].whole:
        runs.append(reconcile(filled.drain._cache, slices=3))
    assert len(runs) > 3
    assert all(run.checked < 100 for run in runs)
    assert sum(run.checked for run in runs) >= 202
    assert sum(run.different for run in runs) == 1
