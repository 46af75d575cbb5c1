"""Replay of dead letters, retention, and the partitions that make it cheap."""

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.conf import settings

from commons.connecting import connect
from counters import selectors
from counters.models import DAY_S, HOUR_S, MINUTE_S, DeadLetter, History, IdempotencyKey
from counters.partitions import HISTORY, IDEMPOTENCY, ensure_partitions
from counters.payload import encode_payload
from counters.records import VALUE_MAX, Increment
from counters.services import Replayed, counters_retain, dead_letters_replay
from tests.counters.support import A, B, Shard, execute, keyed, stored
from tests.support.stack import wait_until

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def replay(*ids: int) -> Replayed:
    return dead_letters_replay(ids=ids or selectors.open_dead_letters(), actor="tester")


@pytest.fixture
def overflown(shard: Shard) -> DeadLetter:
    """Counter A is full, and 5 too many are in a dead letter."""
    shard.append(Increment(A, VALUE_MAX), Increment(A, 5))
    shard.run()
    return DeadLetter.objects.get()


def test_an_overflow_is_left_while_there_is_no_room(overflown: DeadLetter) -> None:
    done = replay()
    assert done == Replayed(0, 1)
    assert done.words == "0 replayed, 1 still cannot be counted"
    overflown.refresh_from_db()
    assert overflown.replayed_at is None


def test_an_overflow_counts_once_when_there_is_room(shard: Shard, overflown: DeadLetter) -> None:
    execute("UPDATE counters_counter SET value = 10")
    assert replay() == Replayed(1, 0)
    assert replay(overflown.pk) == Replayed(0, 0)
    assert stored() == {A: 15}
    overflown.refresh_from_db()
    assert overflown.replayed_by_label == "tester"
    # The cache knew the old total: the next pass of the drain finds that it missed something.
    shard.run()
    assert selectors.totals([A])[0].value == 15


def test_what_finds_no_room_is_a_dead_letter_again(overflown: DeadLetter) -> None:
    execute(f"UPDATE counters_counter SET value = {VALUE_MAX - 2}")
    assert replay() == Replayed(1, 0)
    assert stored() == {A: VALUE_MAX}
    rows = DeadLetter.objects.order_by("pk").values_list("value", "replayed_by_label")
    assert list(rows) == [(Decimal(5), "tester"), (Decimal(3), "")]


def test_what_was_refused_counts_with_its_idempotency_keys(shard: Shard) -> None:
    execute("ALTER TABLE counters_counter ADD CONSTRAINT small CHECK (value < 100)")
    try:
        shard.append(keyed("k", Increment(A, 1000)), Increment(B, 1000))
        assert shard.run().dead == 1
        assert replay() == Replayed(0, 1)
    finally:
        execute("ALTER TABLE counters_counter DROP CONSTRAINT small")
    assert stored() == {}
    assert replay() == Replayed(1, 0)
    shard.append(keyed("k", Increment(A, 1)))
    shard.run()
    assert stored() == {A: 1000, B: 1000}


def test_what_nobody_can_read_is_left(shard: Shard) -> None:
    shard.server.xadd(shard.drain.stream.key, {"w": b"w", "s": 1, "b": b"\x09"})
    shard.run()
    assert replay() == Replayed(0, 1)


def test_what_a_later_release_can_read_counts(shard: Shard) -> None:
    shard.server.xadd(shard.drain.stream.key, {"w": b"w", "s": 1, "b": b"\x09"})
    shard.run()
    DeadLetter.objects.update(payload=encode_payload([Increment(A, 3)]))
    assert replay() == Replayed(1, 0)
    assert stored() == {A: 3}


def test_a_replay_waits_for_a_drain_without_standing_in_its_way(overflown: DeadLetter) -> None:
    execute("UPDATE counters_counter SET value = 10")
    done: list[Replayed] = []
    replaying = threading.Thread(target=lambda: done.append(replay(overflown.pk)))
    with connect() as other, connect() as drain, drain.transaction():
        drain.execute("SELECT FROM counters_counter FOR UPDATE")
        replaying.start()
        waits = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'deadlett'"
        wait_until(lambda: other.execute(waits).rowcount, timeout_s=60, what="the replay waits")
        # What a drain does next, should there be more of the same counter.
        drain.execute("SET LOCAL lock_timeout = '5s'")
        drain.execute("UPDATE counters_deadletter SET value = value + 1, times = times + 1")
    replaying.join()
    assert done == [Replayed(1, 0)]
    assert stored() == {A: 16}


def partitions(parent: str) -> list[str]:
    with connect() as connection:
        rows = connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass"
            " ORDER BY 1",
            (parent,),
        ).fetchall()
    return [name.removeprefix(f"{parent}_") for (name,) in rows]


@pytest.fixture
def no_partitions(shard: Shard) -> None:
    for family in (*HISTORY.values(), IDEMPOTENCY):
        for name in partitions(family.parent):
            execute(f"DROP TABLE {family.parent}_{name}")


@pytest.mark.usefixtures("no_partitions")
def test_retention_keeps_each_granularity_for_its_time(shard: Shard) -> None:
    old = {
        MINUTE_S: NOON - DAY * (settings.COUNTERS_KEPT_DAYS[MINUTE_S] + 1),
        HOUR_S: NOON - DAY * (settings.COUNTERS_KEPT_DAYS[HOUR_S] + 31),
        DAY_S: NOON - DAY * (settings.COUNTERS_KEPT_DAYS[DAY_S] + 366),
    }
    for at in sorted([*old.values(), NOON]):
        at_ms = int(at.timestamp()) * 1000
        shard.append_at(at_ms, keyed(f"{at_ms}", Increment(A, 1)))
    shard.run()
    assert IdempotencyKey.objects.count() == 4
    dropped = counters_retain(now=NOON).dropped
    assert counters_retain(now=NOON).dropped == []
    for width_s, at in old.items():
        bucket = datetime.fromtimestamp(at.timestamp() // width_s * width_s, UTC)
        kept = set(History.objects.filter(width_s=width_s).values_list("bucket", flat=True))
        assert bucket not in kept
        assert HISTORY[width_s].name(at) in dropped
    # What is kept longest is still there of all but the oldest.
    assert History.objects.filter(width_s=DAY_S).count() == 3
    assert IdempotencyKey.objects.count() == 1
    assert stored() == {A: 4}


@pytest.mark.usefixtures("no_partitions")
def test_a_partition_that_somebody_else_made_is_left_alone() -> None:
    execute(
        "CREATE TABLE counters_history_day_archive PARTITION OF counters_history_day"
        " FOR VALUES FROM ('1990-01-01') TO ('2000-01-01')"
    )
    try:
        assert counters_retain(now=NOON).dropped == []
    finally:
        execute("DROP TABLE counters_history_day_archive")


@pytest.mark.usefixtures("no_partitions")
def test_partitions_are_made_before_they_are_needed() -> None:
    assert counters_retain(now=NOON).made == 8
    assert partitions("counters_history_minute") == ["20260131", "20260201"]
    assert partitions("counters_history_hour") == ["202601", "202602"]
    assert partitions("counters_history_day") == ["2026", "2027"]
    assert partitions("counters_idempotencykey") == ["20260131", "20260201"]
    assert counters_retain(now=NOON).made == 0


@pytest.mark.usefixtures("no_partitions")
def test_a_partition_is_made_once_whoever_comes_first() -> None:
    needed = [(IDEMPOTENCY, NOON), (IDEMPOTENCY, NOON + timedelta(hours=1))]
    with connect() as connection, connection.cursor() as cursor:
        with connection.transaction():
            assert ensure_partitions(cursor, needed) == ["counters_idempotencykey_20260131"]
        with connection.transaction():
            assert ensure_partitions(cursor, needed) == []


@pytest.mark.parametrize(
    ("width_s", "at", "name", "start", "end"),
    [
        (MINUTE_S, NOON, "20260131", "2026-01-31", "2026-02-01"),
        (HOUR_S, NOON, "202601", "2026-01-01", "2026-02-01"),
        (HOUR_S, NOON.replace(month=12), "202612", "2026-12-01", "2027-01-01"),
        (DAY_S, NOON, "2026", "2026-01-01", "2027-01-01"),
        (MINUTE_S, NOON.replace(month=12), "20261231", "2026-12-31", "2027-01-01"),
    ],
)
def test_the_bounds_of_a_partition(width_s, at: datetime, name: str, start: str, end: str) -> None:
    family = HISTORY[width_s]
    assert family.name(at) == f"{family.parent}_{name}"
    assert [f"{bound:%Y-%m-%d}" for bound in family.bounds(at)] == [start, end]
