"""What only the PostgreSQL store has: partitions, two writers, and what each remembers."""

import struct
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import wiring
from tests.timeseries.store_cases import Case, StoreUnderTest
from tests.timeseries.strategies import EPOCH_NS
from timeseries.partitions import HOUR_NS, drop_partitions, make_partitions, name_of, partitions
from timeseries.records import Measurement, Query, StoreAwayError, encode
from timeseries.stores.postgres import PostgresWriter
from timeseries.stores.postgres_reader import LAST, last_parameters

pytestmark = pytest.mark.django_db
# Days of this test's own, which no other test writes to.
DAY_NS = 24 * HOUR_NS
FAR_NS = EPOCH_NS - 1000 * DAY_NS


@pytest.fixture
def connection(postgres_store: StoreUnderTest) -> Iterator[psycopg.Connection[Any]]:
    with wiring.connect() as connection:
        yield connection


@pytest.fixture
def writer(postgres_store: StoreUnderTest) -> Iterator[PostgresWriter]:
    """A second writer beside the store's own."""
    writer = PostgresWriter(connect=wiring.connect, oldest_ns=lambda: 0)
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
    with wiring.connect() as connection:
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
    with wiring.connect() as reading, reading.transaction():
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


def test_only_one_process_drops_at_a_time(connection: psycopg.Connection[Any]) -> None:
    old_ns = 30 * DAY_NS
    with connection.transaction(), connection.cursor() as cursor:
        make_partitions(cursor, [old_ns], 1)
    with wiring.connect() as other:
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
    with wiring.connect() as connection, connection.cursor() as cursor:
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
    with wiring.connect() as connection:
        row = connection.execute("SELECT timeseries_floats(%b)", (packed,)).fetchone()
    assert row == (values,)


def test_a_silent_tag_of_long_ago_is_found_without_reading_the_partitions_between(
    postgres_store: StoreUnderTest,
) -> None:
    case = postgres_store.case()
    put(case, *[(EPOCH_NS + hour * HOUR_NS, float(hour)) for hour in range(30)])
    case.drain_all()
    asked = Query(case.tag("a"), EPOCH_NS + 29 * HOUR_NS, EPOCH_NS + 30 * HOUR_NS, 1000)
    with wiring.connect() as connection:
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


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def test_a_store_that_is_away_says_so_and_comes_back(postgres_store: StoreUnderTest) -> None:
    connects = iter([False, True])

    def connect() -> psycopg.Connection[Any]:
        if not next(connects):
            raise psycopg.OperationalError("nobody there")
        return wiring.connect()

    writer = PostgresWriter(connect=connect, oldest_ns=lambda: 0)
    case = postgres_store.case()
    case.put(case.writer, 1, encode([Measurement(EPOCH_NS, case.tag("a"), [1.0])]))
    with pytest.raises(StoreAwayError):
        writer.drain(case.stream)
    assert writer.drain(case.stream).applied == 1
    writer.close()
