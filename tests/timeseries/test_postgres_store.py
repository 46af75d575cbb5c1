"""What only the PostgreSQL store has: partitions, two writers, and what each remembers."""

import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commons import connecting
from runtime.drain import DrainLimits
from tests.support.stack import wait_until
from tests.timeseries.store_cases import Case, StoreUnderTest
from tests.timeseries.strategies import EPOCH_NS
from timeseries import opening, selectors
from timeseries.batches import Batch
from timeseries.partitions import HOUR_NS, drop_partitions, make_partitions, name_of, partitions
from timeseries.records import Measurement, Query, StoreAwayError, encode
from timeseries.stores import postgres
from timeseries.stores.postgres import PostgresWriter
from timeseries.stores.postgres_apply import Apply
from timeseries.stores.postgres_reader import LAST, PAGE, last_parameters

pytestmark = pytest.mark.django_db
# Days of this test's own, which no other test writes to.
DAY_NS = 24 * HOUR_NS
FAR_NS = EPOCH_NS - 1000 * DAY_NS


@pytest.fixture
def connection(postgres_store: StoreUnderTest) -> Iterator[psycopg.Connection[Any]]:
    with connecting.connect() as connection:
        yield connection


@pytest.fixture
def writer(postgres_store: StoreUnderTest) -> Iterator[PostgresWriter]:
    """A second writer beside the store's own."""
    writer = PostgresWriter(connect=connecting.connect, oldest_ns=lambda: 0)
    yield writer
    writer.close()


def put(case: Case, *rows: tuple[int, float]) -> None:
    case.append([Measurement(at, case.tag("a"), [value]) for at, value in rows])


def rows(case: Case, start_ns: int = 0) -> list[tuple[int, list[float]]]:
    return case.exported(case.tag("a"), start_ns, 2**62)


def test_two_writers_that_know_nothing_of_each_other_agree(
    postgres_store: StoreUnderTest, writer: PostgresWriter
) -> None:
    case, other = postgres_store.case(), postgres_store.case()
    other.suffix = case.suffix
    put(case, (EPOCH_NS + 1, 1.0))
    case.drain_all()
    put(other, (EPOCH_NS + 5, 5.0), (EPOCH_NS + 6, 6.0))
    writer.drain(other.stream)
    # Later than all that the first writer has stored itself, and late all the same.
    put(case, (EPOCH_NS + 5, 50.0), (EPOCH_NS + 7, 7.0))
    case.drain_all()
    expected = [(1, [1.0]), (5, [50.0]), (6, [6.0]), (7, [7.0])]
    assert rows(case) == [(EPOCH_NS + at, values) for at, values in expected]
    assert case.tags() == [(case.tag("a"), EPOCH_NS + 1, EPOCH_NS + 7, 4)]


def test_a_tag_that_was_removed_meanwhile_is_made_again(
    postgres_store: StoreUnderTest, connection: psycopg.Connection[Any]
) -> None:
    case = postgres_store.case()
    put(case, (EPOCH_NS + 1, 1.0))
    case.drain_all()
    connection.execute("DELETE FROM timeseries_block WHERE tag_id = %s", (tag_id(case),))
    connection.execute("DELETE FROM timeseries_taghour WHERE tag_id = %s", (tag_id(case),))
    connection.execute("DELETE FROM timeseries_tag WHERE id = %s", (tag_id(case),))
    put(case, (EPOCH_NS + 2, 2.0))
    assert case.drain().applied == 1
    assert rows(case) == [(EPOCH_NS + 2, [2.0])]
    assert case.tags() == [(case.tag("a"), EPOCH_NS + 2, EPOCH_NS + 2, 1)]


def tag_id(case: Case) -> int:
    with connecting.connect() as connection:
        row = connection.execute(
            "SELECT id FROM timeseries_tag WHERE name = %s", (case.tag("a"),)
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_what_comes_after_its_retention_makes_no_partition(
    postgres_store: StoreUnderTest, connection: psycopg.Connection[Any], caplog
) -> None:
    case = postgres_store.case()
    before = partitions(connection)
    put(case, (5, 1.0), (EPOCH_NS, 2.0))
    case.drain_all()
    assert rows(case) == [(EPOCH_NS, [2.0])]
    assert {each.low_ns for each in partitions(connection)} - {each.low_ns for each in before} <= {
        EPOCH_NS
    }
    assert "1 measurements came after their retention" in caplog.text


def test_a_partition_dropped_behind_a_writers_back_is_made_again(
    postgres_store: StoreUnderTest, connection: psycopg.Connection[Any]
) -> None:
    case = postgres_store.case()
    put(case, (FAR_NS, 1.0))
    case.drain_all()
    connection.execute(f"DROP TABLE {name_of(FAR_NS)}")
    put(case, (FAR_NS + 1, 2.0))
    assert case.drain().applied == 1
    assert rows(case) == [(FAR_NS + 1, [2.0])]


def test_partitions_past_the_retention_go_and_the_others_stay(
    connection: psycopg.Connection[Any],
) -> None:
    old_ns = 10 * DAY_NS
    with connection.transaction(), connection.cursor() as cursor:
        make_partitions(cursor, [old_ns, old_ns + HOUR_NS, old_ns + 2 * HOUR_NS], 1)
    names = [f"timeseries_block_{240 + hour:010d}" for hour in range(3)]
    assert drop_partitions(connection, old_ns + 2 * HOUR_NS - 1) == names[:1]
    assert drop_partitions(connection, old_ns + 2 * HOUR_NS) == names[1:2]
    left = [each.name for each in partitions(connection)]
    assert left[0] == names[2]
    assert drop_partitions(connection, old_ns + DAY_NS) == names[2:]
    assert drop_partitions(connection, old_ns + DAY_NS) == []


def test_a_removal_that_was_cut_short_is_finished(connection: psycopg.Connection[Any]) -> None:
    old_ns = 20 * DAY_NS
    with connection.transaction(), connection.cursor() as cursor:
        make_partitions(cursor, [old_ns, old_ns + HOUR_NS], 1)
    first, second = (f"timeseries_block_{480 + hour:010d}" for hour in range(2))
    connection.execute(f"ALTER TABLE timeseries_block DETACH PARTITION {first}")
    with connecting.connect() as reading, reading.transaction():
        # A reader that began before: the removal gives up half-way, after its time.
        reading.execute("SELECT 1 FROM timeseries_block LIMIT 1")
        connection.execute("SET statement_timeout = '300ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(
                f"ALTER TABLE timeseries_block DETACH PARTITION {second} CONCURRENTLY"
            )
        connection.execute("RESET statement_timeout")
    assert [each.leaving for each in partitions(connection) if each.name == second] == [True]
    assert drop_partitions(connection, old_ns + DAY_NS) == [first, second]


def test_a_partition_of_any_name_is_shown_and_goes_in_its_time(
    connection: psycopg.Connection[Any],
) -> None:
    low_ns = 25 * DAY_NS
    connection.execute(
        "CREATE TABLE by_hand PARTITION OF timeseries_block"
        f" FOR VALUES FROM ({low_ns}) TO ({low_ns + HOUR_NS})"
    )
    sizes = selectors.partition_sizes()
    assert [each.size_bytes > 0 for each in sizes if each.low_ns == low_ns] == [True]
    assert drop_partitions(connection, low_ns + HOUR_NS) == ["by_hand"]
    assert connection.execute("SELECT to_regclass('by_hand')").fetchone() == (None,)


def test_a_tag_that_comes_back_while_it_is_forgotten_stays(
    postgres_store: StoreUnderTest, connection: psycopg.Connection[Any], writer: PostgresWriter
) -> None:
    case = postgres_store.case()
    # Silent, as when the last of its hours has been forgotten.
    connection.execute("INSERT INTO timeseries_tag (name) VALUES (%s)", (case.tag("a"),))
    apply = Apply(oldest_ns=lambda: 0, partition_hours=1)
    with ThreadPoolExecutor(1) as thread, connection.transaction(), connection.cursor() as cursor:
        apply.store(cursor, Batch.of([Measurement(EPOCH_NS, case.tag("a"), [1.0])]))
        # What the commit does first.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        retained = thread.submit(
            writer.retain, oldest_ns=0, newest_ns=EPOCH_NS, streams=[case.stream]
        )
        pid = connection.info.backend_pid
        wait_until(lambda: keeps_waiting(pid), timeout_s=30, what="retain waits for the tag")
    assert retained.result(timeout=30).tags == 0
    assert rows(case) == [(EPOCH_NS, [1.0])]


def keeps_waiting(pid: int) -> bool:
    """Whether somebody waits for what that backend holds."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
    with connecting.connect() as looking:
        row = looking.execute(query, (pid,)).fetchone()
    return bool(row and row[0])


def test_a_time_beyond_all_partitions_stands_in_nobodys_way(postgres_store, caplog) -> None:
    case = postgres_store.case()
    case.append([Measurement(2**63 - 1, case.tag("a"), [1.0])])
    put(case, (EPOCH_NS, 2.0))
    case.drain_all()
    assert rows(case) == [(EPOCH_NS, [2.0])]
    assert "a number that is not allowed" in caplog.text


def test_a_tag_all_of_whose_rows_came_too_late_is_not_made(
    postgres_store: StoreUnderTest, connection: psycopg.Connection[Any]
) -> None:
    case = postgres_store.case()
    late = PostgresWriter(connect=connecting.connect, oldest_ns=lambda: EPOCH_NS)
    case.append(
        [
            Measurement(EPOCH_NS - DAY_NS, case.tag("gone"), [1.0]),
            Measurement(EPOCH_NS, case.tag("a"), [2.0]),
        ]
    )
    late.drain(case.stream)
    late.close()
    names = connection.execute("SELECT name FROM timeseries_tag").fetchall()
    assert (case.tag("a"),) in names
    assert (case.tag("gone"),) not in names


def test_many_late_rows_make_the_next_transaction_smaller(
    postgres_store: StoreUnderTest, monkeypatch
) -> None:
    monkeypatch.setattr(postgres, "_LATE_FEW", 2)
    monkeypatch.setattr(postgres, "_LATE_MANY", 3)
    monkeypatch.setattr(postgres, "_BYTES_MIN", 1)
    case = postgres_store.case()
    put(case, (EPOCH_NS + 400, 0.0))
    case.drain_all()
    size = len(encode([Measurement(EPOCH_NS, case.tag("a"), [1.0])]))
    limits = DrainLimits(payload_bytes=100 * size)
    writer = PostgresWriter(connect=connecting.connect, oldest_ns=lambda: 0, limits=limits)

    def stored_at_once() -> list[int]:
        drained = []
        while case.stream.length():
            drained.append(writer.drain(case.stream).applied)
        return drained

    for at in range(300):
        put(case, (EPOCH_NS + at, float(at)))
    late = stored_at_once()
    for at in range(300):
        put(case, (EPOCH_NS + 500 + at, float(at)))
    later = stored_at_once()
    writer.close()
    assert sum(late) == sum(later) == 300
    assert late[0] > late[1]
    assert max(later) > later[0]
    assert len(rows(case)) == 601


def test_only_one_process_drops_at_a_time(connection: psycopg.Connection[Any]) -> None:
    old_ns = 30 * DAY_NS
    with connection.transaction(), connection.cursor() as cursor:
        make_partitions(cursor, [old_ns], 1)
    with connecting.connect() as other:
        other.execute("SELECT pg_advisory_lock(%s)", (0x7473_6472_6F70,))
        assert drop_partitions(connection, old_ns + DAY_NS) == []
        other.execute("SELECT pg_advisory_unlock_all()")
    assert drop_partitions(connection, old_ns + DAY_NS) == [name_of(old_ns)]


@settings(deadline=None, max_examples=20)
@given(
    hours=st.lists(
        st.tuples(st.lists(st.integers(0, 60), max_size=4), st.sampled_from([1, 5, 24])),
        max_size=5,
    )
)
def test_partitions_of_any_widths_cover_what_was_asked_and_never_overlap(
    postgres_store: StoreUnderTest, hours
) -> None:
    start = 40 * 24
    with connecting.connect() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        asked = set()
        for each, width in hours:
            asked |= {start + hour for hour in each}
            make_partitions(cursor, [(start + hour) * HOUR_NS for hour in each], width)
        made = [each for each in partitions(cursor) if each.low_ns < 100 * DAY_NS]
        cursor.execute("ROLLBACK")
    for hour in asked:
        assert sum(each.low_ns <= hour * HOUR_NS < each.high_ns for each in made) == 1


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=64))
def test_people_with_psql_can_read_the_values(postgres_store: StoreUnderTest, values) -> None:
    packed = struct.pack(f">{len(values)}d", *values)
    with connecting.connect() as connection:
        row = connection.execute("SELECT timeseries_floats(%b)", (packed,)).fetchone()
    assert row == (values,)


def test_a_silent_tag_of_long_ago_is_found_without_reading_the_partitions_between(
    postgres_store: StoreUnderTest,
) -> None:
    case = postgres_store.case()
    put(case, *[(EPOCH_NS + hour * HOUR_NS, float(hour)) for hour in range(30)])
    case.drain_all()
    asked = Query(case.tag("a"), EPOCH_NS + 29 * HOUR_NS, EPOCH_NS + 30 * HOUR_NS, 1000)
    with connecting.connect() as connection:
        plan = connection.execute(
            "EXPLAIN (ANALYZE, FORMAT JSON) " + LAST,
            last_parameters(asked),
        ).fetchone()
    assert plan is not None
    scans = [
        node
        for node in nodes(plan[0][0]["Plan"])
        if node.get("Relation Name", "").startswith("timeseries_block")
    ]
    loops = sum(node["Actual Loops"] for node in scans)
    assert loops <= 1100, f"{loops} index scans for 1000 samples"
    assert not [node for node in scans if node["Node Type"] == "Seq Scan"]


def test_a_page_is_read_in_order_also_without_statistics(
    postgres_store: StoreUnderTest, connection: psycopg.Connection[Any]
) -> None:
    case = postgres_store.case()
    low_ns = EPOCH_NS + 500 * HOUR_NS
    with connection.transaction(), connection.cursor() as cursor:
        make_partitions(cursor, [low_ns, low_ns + HOUR_NS], 1)
    connection.execute("INSERT INTO timeseries_tag (name) VALUES (%s)", (case.tag("a"),))
    connection.execute(
        "INSERT INTO timeseries_block SELECT id, %s + n * 1000000000::bigint,"
        " ARRAY[%s + n * 1000000000::bigint], decode(repeat('3ff0000000000000', 400), 'hex')"
        " FROM timeseries_tag, generate_series(0, 7199) AS n WHERE name = %s",
        (low_ns, low_ns, case.tag("a")),
    )
    asked = {"tag": case.tag("a"), "hour": low_ns, "after": low_ns, "to": 2**62, "most": 100}
    kwargs = opening._reading_pool().kwargs
    assert isinstance(kwargs, dict)
    with psycopg.connect(**kwargs) as reading:
        plan = reading.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + PAGE, asked).fetchone()
    assert plan is not None
    read = [
        node["Actual Rows"]
        for node in nodes(plan[0][0]["Plan"])
        if node.get("Relation Name", "").startswith("timeseries_block")
    ]
    assert sum(read) <= 110


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def test_a_store_that_is_away_says_so_and_comes_back(postgres_store: StoreUnderTest) -> None:
    connects = iter([False, True])

    def connect() -> psycopg.Connection[Any]:
        if not next(connects):
            raise psycopg.OperationalError("nobody there")
        return connecting.connect()

    writer = PostgresWriter(connect=connect, oldest_ns=lambda: 0)
    case = postgres_store.case()
    case.put(case.writer, 1, encode([Measurement(EPOCH_NS, case.tag("a"), [1.0])]))
    with pytest.raises(StoreAwayError):
        writer.drain(case.stream)
    assert writer.drain(case.stream).applied == 1
    writer.close()
