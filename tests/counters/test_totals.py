"""Reads: the cache never says more than PostgreSQL, and `as_of` never says more than is true."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from counters import flights, selectors
from counters.drain import ShardDrain
from counters.flights import Flights
from counters.metrics import render_state
from counters.queries import Window
from counters.records import VALUE_MAX, Batch, Increment
from counters.totals import EPOCH_KEY, Mark, TotalsCache, total_key
from tests.counters.support import A, B, C, Shard


def read(*keys) -> tuple[dict[Any, int], list[datetime], int]:
    """Totals, their ages, and how many queries it took."""
    with CaptureQueriesContext(connection) as queries:
        found = selectors.totals(keys)
    return {each.key: each.value for each in found}, [each.as_of for each in found], len(queries)


def redis_now(server: redis.Redis) -> datetime:
    seconds, micros = server.time()
    return datetime.fromtimestamp(seconds + micros // 1000 / 1000, UTC)


def test_what_the_drain_applied_is_read_without_postgres(shard: Shard) -> None:
    shard.append(Increment(A, 1), Increment(B, VALUE_MAX))
    shard.run()
    values, ages, queries = read(B, A, B)
    assert (values, queries) == ({A: 1, B: VALUE_MAX}, 0)
    assert len(ages) == 3


def test_a_miss_is_read_from_postgres_once(shard: Shard) -> None:
    shard.append(Increment(A, 5))
    shard.run()
    shard.server.delete(total_key(A.bytes))
    assert read(A, C)[0::2] == ({A: 5, C: 0}, 1)
    assert read(A, C)[0::2] == ({A: 5, C: 0}, 0)
    shard.append(Increment(C, 2))
    shard.run()
    assert read(A, C)[0::2] == ({A: 5, C: 2}, 0)


def test_as_of_is_not_later_than_what_still_waits(shard: Shard) -> None:
    shard.append(Increment(A, 1))
    shard.run()
    shard.append(Increment(A, 2))
    waiting_ms = shard.drain.stream.oldest_ms()
    assert waiting_ms is not None
    for _ in range(2):
        for key in (A, B):
            [total] = selectors.totals([key])
            assert total.value == (1 if key == A else 0)
            assert total.as_of.timestamp() * 1000 <= waiting_ms
        # Once from the cache, once without it.
        shard.server.flushdb()


def test_as_of_goes_on_while_nothing_arrives(shard: Shard) -> None:
    shard.append(Increment(A, 1))
    shard.run()
    before = redis_now(shard.server)
    shard.run()
    values, [age], queries = read(A)
    assert (values, queries) == ({A: 1}, 0)
    assert age >= before
    # Also for what only PostgreSQL knows, since the mark tells that nothing came after it.
    shard.server.delete(total_key(A.bytes))
    values, [age], queries = read(A)
    assert (values, queries) == ({A: 1}, 1)
    assert age >= before


def test_a_transaction_that_was_not_written_through_is_not_hidden(
    shard: Shard, monkeypatch
) -> None:
    for value in (1, 2):
        shard.append(Increment(A, value), Increment(B, 1))
        shard.run()
    shard.append(Increment(A, 4))
    with monkeypatch.context() as patched:
        patched.setattr(shard.drain._cache, "publish", lambda *_, **__: False)
        shard.run()
    assert read(A)[0] == {A: 3}
    shard.append(Increment(B, 1))
    shard.run()
    assert read(A, B)[0] == {A: 7, B: 3}


@pytest.mark.parametrize("idle", [True, False])
def test_a_drain_that_died_before_it_wrote_through_is_noticed_by_the_next(
    shard: Shard, idle: bool
) -> None:
    shard.append(Increment(A, 1))
    shard.run()
    shard.append(Increment(A, 2))
    shard.drain._drain()
    if not idle:
        shard.append(Increment(B, 1))
    shard.run()
    assert read(A)[0] == {A: 3}


def test_a_late_publisher_changes_nothing(shard: Shard) -> None:
    shard.append(Increment(A, 1))
    shard.run()
    shard.append(Increment(A, 1))
    shard.run()
    cache, stream = shard.drain._cache, shard.drain.stream.key
    epoch = shard.server.get(EPOCH_KEY)
    assert not cache.publish(stream, {A.bytes: 1}, before=0, mark=Mark(1, 10**15))
    assert shard.server.get(EPOCH_KEY) == epoch
    assert read(A)[0] == {A: 2}
    assert read(A)[1][0].year < 3000


def test_of_two_totals_the_larger_is_newer(shard: Shard) -> None:
    cache = shard.drain._cache
    for known, late, kept in (
        (10, 9, b"10"),
        (9, 10, b"10"),
        (2**62 + 1, 2**62, b"%d" % (2**62 + 1)),
    ):
        shard.server.delete(total_key(A.bytes))
        cache.fill({A.bytes: known}, "e")
        cache.fill({A.bytes: late}, "e")
        assert shard.server.get(total_key(A.bytes)) == b"e:" + kept
        cache.fill({A.bytes: 1}, "f")
        assert shard.server.get(total_key(A.bytes)) == b"f:1"


def test_without_the_cache_totals_come_from_postgres(shard: Shard, monkeypatch) -> None:
    shard.append(Increment(A, 1))
    shard.run()
    nowhere = TotalsCache("redis://127.0.0.1:1/0")
    monkeypatch.setattr(selectors, "totals_cache", lambda: nowhere)
    values, [age], queries = read(A)
    assert (values, queries) == ({A: 1}, 1)
    assert age <= datetime.now(UTC)


def test_a_cache_that_is_away_is_left_alone_for_a_while(monkeypatch) -> None:
    now = [100.0]
    cache = TotalsCache("redis://127.0.0.1:1/0", clock=lambda: now[0])
    tries = []
    real = cache._publish

    def counting(*args: Any) -> bool:
        tries.append(now[0])
        return real(*args)

    monkeypatch.setattr(cache, "_publish", counting)
    for at in (100.0, 101.0, 104.9, 105.1):
        now[0] = at
        assert not cache.publish("s", {}, before=0, mark=Mark(0, 0))
    assert tries == [100.0, 105.1]


def test_many_who_miss_ask_postgres_once(shard: Shard, monkeypatch) -> None:
    shard.append(Increment(A, 7))
    shard.run()
    shard.server.delete(total_key(A.bytes))
    real, asked, waiting = selectors.read_stored, [], []

    class Awaited(Future):
        def result(self, timeout: float | None = None) -> Any:
            waiting.append(self)
            return super().result(timeout)

    def slow(*args: Any) -> Any:
        asked.append(args)
        wait_for(lambda: len(waiting) == 9)
        return real(*args)

    monkeypatch.setattr(flights, "Future", Awaited)
    monkeypatch.setattr(selectors, "read_stored", slow)
    answers: list[int] = []

    def ask() -> None:
        answers.append(selectors.totals([A])[0].value)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [7] * 10
    assert len(asked) == 1


def wait_for(condition: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up_s
        time.sleep(0.001)


def test_an_error_is_everybodys_and_the_next_one_tries_again() -> None:
    some: Flights[int, int] = Flights()

    def away(keys: Any) -> dict[int, int]:
        raise OperationalError("away")

    with pytest.raises(OperationalError):
        some.get([1], away)
    assert some.get([1, 2], lambda keys: {key: key for key in keys}) == {1: 1, 2: 2}


def test_with_two_shards_the_older_one_decides(server: redis.Redis, monkeypatch) -> None:
    monkeypatch.setattr(settings, "COUNTERS_SHARDS", 2)
    cache = TotalsCache(settings.CACHE_REDIS_URL)
    shards = [Shard(server, ShardDrain(number, client=server, cache=cache)) for number in (0, 1)]
    for shard in shards:
        shard.append(Increment(A, 1))
    shards[0].run()
    # The other has no mark yet: what is cached may lack anything.
    assert read(A)[0::2] == ({A: 1}, 1)
    assert read(A)[1][0] == datetime.fromtimestamp(0, UTC)
    shards[1].run()
    between = redis_now(server)
    shards[0].run()
    values, [age], queries = read(A)
    assert (values, queries) == ({A: 2}, 0)
    assert age <= between
    for shard in shards:
        shard.drain.close()


def test_history_of_a_window(shard: Shard) -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    for minutes, value in ((0, 1), (1, 2), (59, 4), (60, 8), (60 * 24, 16)):
        at_ms = int(noon.timestamp() + minutes * 60) * 1000
        shard.append_at(at_ms, Increment(A, value), Increment(B, 100))
    shard.run()

    def grown(granularity: Any, start: datetime, end: datetime) -> list[int]:
        return list(selectors.history(A, Window(granularity, start, end)).values())

    assert grown("minute", noon, noon.replace(hour=13)) == [1, 2, 4]
    assert grown("minute", noon.replace(minute=1), noon.replace(minute=2)) == [2]
    assert grown("hour", noon, noon.replace(hour=14)) == [7, 8]
    assert grown("day", noon.replace(hour=0), datetime(2026, 2, 2, tzinfo=UTC)) == [15, 16]
    assert selectors.history(C, Window("hour", noon, noon.replace(hour=14))) == {}
    found = selectors.history(A, Window("hour", noon, noon.replace(hour=14)))
    assert list(found) == [noon, noon.replace(hour=13)]


def test_the_state_says_how_far_the_drain_is(shard: Shard) -> None:
    selectors._streams.cache_clear()
    shard.append(Increment(A, 1))
    shard.append(Batch.of([Increment(A, VALUE_MAX)] * 2))
    state = selectors.state()
    [only] = state.shards
    assert only.waiting == 2
    assert only.waiting_bytes > 0
    assert 0 <= state.lag_s < 60
    assert state.dead_letters == 0
    shard.run()
    shown = render_state().decode()
    assert f'counters_waiting_batches{{stream="{shard.drain.stream.key}"}} 0.0' in shown
    assert f'counters_lag_seconds{{stream="{shard.drain.stream.key}"}} 0.0' in shown
    assert "\ncounters_increments_applied_total 3.0\n" in shown
    assert "\ncounters_dead_letters 1.0\n" in shown
    state = selectors.state()
    assert (state.shards[0].waiting, state.lag_s, state.dead_letters) == (0, 0.0, 1)
    assert state.figures["applied"] == 3
    assert state.figures["dead"] == 1
    selectors._streams.cache_clear()


def test_everything_is_read_again_after_the_cache_was_flushed(shard: Shard) -> None:
    shard.append(Increment(A, 1))
    shard.run()
    shard.server.flushdb()
    assert read(A)[0] == {A: 1}
    shard.run()
    assert read(A)[0::2] == ({A: 1}, 1)
    assert read(A)[0::2] == ({A: 1}, 0)
