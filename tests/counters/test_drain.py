"""A pass of the drain: totals, history, idempotency keys and dead letters in one transaction."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commons.connecting import connect
from counters import applying, drain, selectors
from counters.folding import Claim, Folded
from counters.models import Counter, DeadLetter, History, IdempotencyKey, StreamCursor
from counters.payload import Block
from counters.records import VALUE_MAX, Batch, Increment
from runtime.drain import _lock_number
from tests.counters.support import A, B, C, Shard, execute, keyed, stored

NOON_MS = int(datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()) * 1000
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000


def grown(width_s: int) -> dict[tuple[str, object], int]:
    rows = History.objects.filter(width_s=width_s).values_list("bucket", "key", "value")
    return {(f"{bucket:%d %H:%M}", key): value for bucket, key, value in rows}


def test_what_was_appended_is_counted_once_and_removed(shard: Shard) -> None:
    shard.append(Increment(A, 1), Batch.of([Increment(B, 2), Increment(A, 3)]))
    shard.append(Increment(B, 5))
    done = shard.run()
    assert (done.entries, done.increments, done.dead, done.more) == (2, 4, 0, False)
    assert stored() == {A: 4, B: 7}
    assert shard.drain.stream.length() == 0
    assert shard.run().entries == 0
    assert stored() == {A: 4, B: 7}


def test_a_batch_that_was_sent_twice_counts_once(shard: Shard) -> None:
    shard.append(Increment(A, 1))
    entries: Any = shard.server.xrange(shard.drain.stream.key)
    [(_, fields)] = entries
    shard.server.xadd(shard.drain.stream.key, fields)
    shard.run()
    shard.server.xadd(shard.drain.stream.key, fields)
    assert shard.run().entries == 1
    assert stored() == {A: 1}


def test_a_pass_that_fails_changes_nothing_and_the_next_one_counts(
    shard: Shard, monkeypatch
) -> None:
    shard.append(keyed("once", Increment(A, 1)), Increment(A, 2))

    def fails(*_: object) -> None:
        raise psycopg.OperationalError("the server closed the connection")

    with monkeypatch.context() as patched:
        patched.setattr(applying, "_number", fails)
        with pytest.raises(psycopg.OperationalError):
            shard.run()
    assert stored() == {}
    assert not History.objects.exists()
    assert not IdempotencyKey.objects.exists()
    shard.run()
    assert stored() == {A: 3}


def test_history_is_kept_by_minute_hour_and_day(shard: Shard) -> None:
    for at_ms, value in (
        (NOON_MS, 1),
        (NOON_MS + MINUTE_MS - 1, 2),
        (NOON_MS + MINUTE_MS, 4),
        (NOON_MS + HOUR_MS, 8),
        (NOON_MS + DAY_MS, 16),
    ):
        shard.append_at(at_ms, Increment(A, value))
    shard.run()
    shard.append_at(NOON_MS + DAY_MS + 1, Increment(A, 32), Increment(B, 1))
    shard.run()
    assert grown(60) == {
        ("31 12:00", A): 3,
        ("31 12:01", A): 4,
        ("31 13:00", A): 8,
        ("01 12:00", A): 48,
        ("01 12:00", B): 1,
    }
    assert grown(3600) == {
        ("31 12:00", A): 7,
        ("31 13:00", A): 8,
        ("01 12:00", A): 48,
        ("01 12:00", B): 1,
    }
    assert grown(86400) == {("31 00:00", A): 15, ("01 00:00", A): 48, ("01 00:00", B): 1}
    assert stored() == {A: 63, B: 1}


def test_an_idempotency_key_counts_once_in_24_hours(shard: Shard) -> None:
    shard.append_at(NOON_MS, keyed("k", Increment(A, 1)), keyed("k", Increment(A, 2)))
    shard.append_at(NOON_MS + 1, keyed("k", Increment(A, 4)), keyed("other", Increment(A, 8)))
    shard.run()
    assert stored() == {A: 9}
    shard.append_at(NOON_MS + DAY_MS - 1, keyed("k", Increment(A, 16), Increment(B, 16)))
    shard.run()
    assert stored() == {A: 9}
    shard.append_at(NOON_MS + DAY_MS, keyed("k", Increment(A, 32)))
    shard.append_at(NOON_MS + DAY_MS + 1, keyed("k", Increment(A, 64)))
    shard.run()
    assert stored() == {A: 41}


def test_a_key_that_a_later_entry_of_another_stream_used_is_known(shard: Shard) -> None:
    shard.append_at(NOON_MS, keyed("k", Increment(A, 1)))
    shard.run()
    shard.append_at(NOON_MS + 2 * DAY_MS, keyed("k", Increment(A, 2)))
    shard.run()
    folded = Folded()
    folded.claims.append(_claim("k", NOON_MS + DAY_MS + HOUR_MS))
    folded.claims.append(_claim("k", NOON_MS + DAY_MS))
    with connect() as connection, connection.cursor() as cursor:
        done = applying.apply_folded(cursor, "another", "1-0", folded)
    # The first is within a day of the later one, the second within a day of neither.
    assert done.repeated == 1
    assert stored() == {A: 4}


def _claim(key: str, at_ms: int) -> Claim:
    return Claim(key, at_ms, Block(1, (A.bytes,), (1,)))


def test_more_than_a_total_can_hold_goes_to_a_dead_letter(shard: Shard) -> None:
    shard.append(Increment(A, VALUE_MAX - 2), Increment(B, 1))
    shard.run()
    shard.append(Increment(A, 5), Increment(B, 1), Batch.of([Increment(C, VALUE_MAX)] * 3))
    assert shard.run().dead == 2
    assert stored() == {A: VALUE_MAX, B: 2, C: VALUE_MAX}
    dead = {row.key: row for row in DeadLetter.objects.all()}
    assert {key: row.value for key, row in dead.items()} == {A: 3, C: 2 * Decimal(VALUE_MAX)}
    assert {row.reason for row in dead.values()} == {"overflow"}
    # History holds what counted, no more.
    assert sum(value for (_, key), value in grown(60).items() if key == A) == VALUE_MAX


def test_a_full_counter_has_one_dead_letter_that_grows(shard: Shard) -> None:
    for value in (VALUE_MAX, 1, 2):
        shard.append(Increment(A, value), Increment(B, 1))
        shard.run()
    [dead] = DeadLetter.objects.all()
    assert (dead.key, dead.value, dead.times) == (A, Decimal(3), 2)
    assert stored() == {A: VALUE_MAX, B: 3}


def test_what_cannot_be_read_is_kept_and_stops_nothing(shard: Shard) -> None:
    key = shard.drain.stream.key
    shard.append(Increment(A, 1))
    shard.server.xadd(key, {"w": b"somebody", "s": 1, "b": b"\x09damaged"})
    shard.server.xadd(key, {"hello": b"world"})
    shard.append(Increment(A, 2))
    assert shard.run().dead == 2
    assert stored() == {A: 3}
    dead = DeadLetter.objects.order_by("id")
    assert [row.reason for row in dead] == ["unreadable"] * 2
    assert [bytes(row.payload or b"") for row in dead] == [b"\x09damaged", b"hello: world"]
    assert [row.detail for row in dead] == [
        "unknown version b'\\t'",
        "not written by this product",
    ]
    assert shard.drain.stream.length() == 0


def test_what_postgres_refuses_is_kept_and_stops_nothing(shard: Shard) -> None:
    execute("ALTER TABLE counters_counter ADD CONSTRAINT small CHECK (value < 100)")
    try:
        for value in (1, 1000, 2, 3, 4, 5, 1000, 6):
            shard.append(Increment(A, value), Increment(B, value))
        assert shard.run().dead == 2
    finally:
        execute("ALTER TABLE counters_counter DROP CONSTRAINT small")
    assert stored() == {A: 21, B: 21}
    for dead in DeadLetter.objects.all():
        assert dead.reason == "refused"
        assert "small" in dead.detail
    # Their totals are written through as any.
    assert selectors.totals([A])[0].value == 21


@given(
    batches=st.lists(
        st.lists(
            st.tuples(st.sampled_from([A, B, C]), st.sampled_from([1, 2**61, VALUE_MAX])),
            min_size=1,
            max_size=4,
        ),
        min_size=1,
        max_size=4,
    ),
    at_once=st.booleans(),
)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_total_and_dead_letters_are_what_was_sent(shard: Shard, batches, at_once: bool) -> None:
    execute("TRUNCATE counters_counter, counters_history, counters_deadletter")
    sent = dict.fromkeys((A, B, C), 0)
    for batch in batches:
        shard.append(Batch.of([Increment(key, value) for key, value in batch]))
        for key, value in batch:
            sent[key] += value
        if not at_once:
            shard.run()
    shard.run()
    dead = dict(DeadLetter.objects.values_list("key", "value"))
    totals = stored()
    for key, value in sent.items():
        assert totals.get(key, 0) == min(value, VALUE_MAX)
        assert totals.get(key, 0) + (dead.get(key) or 0) == value
        for width_s in (60, 3600, 86400):
            assert sum(v for (_, k), v in grown(width_s).items() if k == key) == totals.get(key, 0)


def test_the_cursor_says_how_far_the_stream_is_drained(shard: Shard) -> None:
    last = shard.append(Increment(A, 1))
    shard.run()
    cursor = StreamCursor.objects.get(stream=shard.drain.stream.key)
    assert cursor.last_id == last.decode()
    assert cursor.at_ms == int(last.split(b"-")[0])


def test_a_pass_takes_what_a_transaction_should_and_says_that_there_is_more(
    shard: Shard, monkeypatch
) -> None:
    monkeypatch.setattr(drain, "_ENTRIES_MAX", 2)
    small = drain.ShardDrain(0, client=shard.server, cache=shard.drain._cache)
    for _ in range(5):
        shard.append(Increment(A, 1))
    passes = [small.run() for _ in range(3)]
    small.close()
    assert [each.entries for each in passes] == [2, 2, 1]
    assert [each.more for each in passes] == [True, True, False]
    assert stored() == {A: 5}


def test_a_pass_grows_while_its_counters_are_few_and_shrinks_when_they_are_many(
    shard: Shard, monkeypatch
) -> None:
    monkeypatch.setattr(drain, "_BYTES_START", 64)
    monkeypatch.setattr(drain, "_BYTES_MIN", 32)
    monkeypatch.setattr(drain, "_COUNTERS_FEW", 3)
    monkeypatch.setattr(drain, "_COUNTERS_MANY", 30)
    some = drain.ShardDrain(0, client=shard.server, cache=shard.drain._cache)

    def bytes_after(*batches: int) -> list[int]:
        """Drain entries of so many counters each; the limit after every pass."""
        for counters in batches:
            shard.append(Batch.of([Increment(UUID(int=number), 1) for number in range(counters)]))
        limits = []
        while some.run().entries:
            limits.append(some._limits.payload_bytes)
        return limits

    grown = bytes_after(*[1] * 60)
    assert grown[:2] == [128, 256]
    last = grown[-1]
    assert bytes_after(10) == [last]
    assert bytes_after(31) == [last // 2]
    while last > 32:
        last = bytes_after(31)[0]
    assert bytes_after(31) == [32]
    some.close()


def test_two_drains_of_one_stream_do_not_meet(shard: Shard) -> None:
    shard.append(Increment(A, 1))
    other = connect()
    other.autocommit = False
    other.execute("SELECT pg_advisory_xact_lock(%s)", (_lock_number(shard.drain.stream.key),))
    assert shard.run().standby
    assert stored() == {}
    other.close()
    assert not shard.run().standby
    assert stored() == {A: 1}


def test_ten_thousand_counters_fit_into_one_statement_and_more_into_several(
    shard: Shard, monkeypatch
) -> None:
    monkeypatch.setattr(applying, "ROWS_MAX", 7)
    keys = [type(A)(int=number) for number in range(30)]
    shard.append(Batch.of([Increment(key, key.int + 1) for key in keys]))
    shard.run()
    assert stored() == {key: key.int + 1 for key in keys}
    assert Counter.objects.count() == 30


def test_a_clock_beyond_the_calendar_stops_nothing(shard: Shard) -> None:
    shard.append_at(2**62, Increment(A, 1))
    shard.run()
    assert stored() == {A: 1}


def test_one_day_is_the_window() -> None:
    assert timedelta(hours=24) == applying.IDEMPOTENCY_WINDOW
