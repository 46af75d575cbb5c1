"""Measurements in blocks: what goes in comes out, and blocks never overlap, whatever comes late."""

import struct
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commons import connecting
from tests.support.stack import wait_until
from tests.timeseries.store_cases import Case, StoreUnderTest
from tests.timeseries.strategies import EPOCH_NS, messages
from timeseries.batches import Batch
from timeseries.partitions import HOUR_NS
from timeseries.records import Measurement
from timeseries.stores import packed, postgres_apply
from timeseries.stores.late import hours, run_starts
from timeseries.stores.postgres_apply import Apply

_BLOCKS = """
SELECT first_ns, times, length(values) FROM timeseries_block
WHERE tag_id = (SELECT id FROM timeseries_tag WHERE name = %s) ORDER BY first_ns
"""
_SMALL_BYTES = 60


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of three rows of one value, and of fewer wider ones."""
    monkeypatch.setattr(packed, "BLOCK_BYTES", _SMALL_BYTES)


def stored(*batches: list[Measurement]) -> None:
    """Each batch stored in a transaction of its own, by a writer that knows nothing."""
    for batch in batches:
        with connecting.connect() as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN")
            Apply(oldest_ns=lambda: 0, partition_hours=1).store(cursor, Batch.of(batch))
            cursor.execute("COMMIT")


def blocks(tag: str) -> list[tuple[int, list[int], int]]:
    with connecting.connect() as connection:
        return connection.execute(_BLOCKS, (tag,)).fetchall()


def check(case: Case, batches: list[list[Measurement]]) -> None:
    """What is read is the latest of what was written; blocks and hours are as they should be."""
    expected: dict[str, dict[int, list[float]]] = {}
    for message in (message for batch in batches for message in batch):
        expected.setdefault(message.tag, {})[message.time] = list(message.values)
    for tag, rows in expected.items():
        found = case.exported(tag, 0, 2**62)
        assert [(at, _bits(values)) for at, values in found] == [
            (at, _bits(values)) for at, values in sorted(rows.items())
        ]
        _check_blocks(blocks(tag), sorted(rows))
    assert case.tags() == [
        (tag, min(rows), max(rows), len(rows))
        for tag, rows in sorted(expected.items(), key=lambda item: item[0].encode())
    ]


def _check_blocks(found: list[tuple[int, list[int], int]], times_ns: list[int]) -> None:
    assert [at for _, times, _ in found for at in times] == times_ns
    for first_ns, times, size_bytes in found:
        assert first_ns == times[0]
        assert first_ns // HOUR_NS == times[-1] // HOUR_NS
        width = size_bytes // 8 // len(times)
        assert len(times) == 1 or len(times) * (8 + 8 * width) <= packed.BLOCK_BYTES


def _bits(values: list[float]) -> bytes:
    """Told apart as bits: -0.0 is not 0.0."""
    return struct.pack(f"{len(values)}d", *values)


@pytest.mark.django_db
@settings(deadline=None, max_examples=60)
@given(st.lists(messages.filter(bool), min_size=1, max_size=6))
def test_any_batches_in_any_order_are_read_as_the_latest_of_each(
    postgres_store: StoreUnderTest, batches: list[list[Measurement]]
) -> None:
    case = postgres_store.case()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "BLOCK_BYTES", _SMALL_BYTES)
        patch.setattr(postgres_apply, "_LATE_ROWS", 3)
        own = [case.own(batch) for batch in batches]
        stored(*own)
        check(case, own)


@pytest.mark.django_db
def test_rows_late_by_any_place_go_where_they_belong(
    postgres_store: StoreUnderTest, small_blocks: None
) -> None:
    case = postgres_store.case()

    def at(*offsets: int, value: float = 1.0) -> list[Measurement]:
        return [Measurement(EPOCH_NS + each, case.tag("a"), [value]) for each in offsets]

    batches = [
        at(10, 20, 30, 40, 50, 60, 70),
        # Before all, into a full block, behind a full block, behind the last one, twice at once.
        at(5, 21, 31, 32, 33, 34, 69, 71, 71, 22, value=2.0),
        at(20, 20, 33, 5, value=3.0),
        at(HOUR_NS, HOUR_NS + 1, -1, -2, value=4.0),
        at(-3, HOUR_NS - 1, 2 * HOUR_NS, value=5.0),
    ]
    stored(*batches)
    check(case, batches)


@pytest.mark.django_db
def test_a_repetition_writes_no_block_again(postgres_store: StoreUnderTest) -> None:
    case = postgres_store.case()
    rows = [Measurement(EPOCH_NS + at, case.tag("a"), [at + 0.5]) for at in range(500)]
    stored(rows)
    before = _row_versions(case)
    stored(rows, rows[100:300])
    assert _row_versions(case) == before
    stored([Measurement(EPOCH_NS + 250, case.tag("a"), [-1.0])])
    assert len(before - _row_versions(case)) == 1
    assert case.tags() == [(case.tag("a"), EPOCH_NS, EPOCH_NS + 499, 500)]


def _row_versions(case: Case) -> set[tuple[int, int]]:
    with connecting.connect() as connection:
        return set(
            connection.execute(
                "SELECT first_ns, xmin::text::bigint FROM timeseries_block WHERE tag_id ="
                " (SELECT id FROM timeseries_tag WHERE name = %s)",
                (case.tag("a"),),
            ).fetchall()
        )


@pytest.mark.django_db
def test_blocks_do_not_overlap_where_their_hour_was_lost(postgres_store: StoreUnderTest) -> None:
    case = postgres_store.case()
    first = [Measurement(EPOCH_NS + at, case.tag("a"), [1.0]) for at in (1, 5, 9)]
    second = [Measurement(EPOCH_NS + at, case.tag("a"), [2.0]) for at in (3, 5, 7, 11)]
    stored(first)
    with connecting.connect() as connection:
        connection.execute(
            "DELETE FROM timeseries_taghour WHERE tag_id ="
            " (SELECT id FROM timeseries_tag WHERE name = %s)",
            (case.tag("a"),),
        )
    stored(second)
    found = case.exported(case.tag("a"), 0, 2**62)
    assert [(at - EPOCH_NS, value) for at, [value] in found] == [
        *((1, 1.0), (3, 2.0), (5, 2.0), (7, 2.0), (9, 1.0), (11, 2.0))
    ]


@pytest.mark.django_db
def test_two_writers_of_one_tag_at_once_take_turns(postgres_store: StoreUnderTest) -> None:
    case = postgres_store.case()
    first = [Measurement(EPOCH_NS + at, case.tag("a"), [1.0]) for at in (10, 30, 50)]
    second = [Measurement(EPOCH_NS + at, case.tag("a"), [2.0]) for at in (20, 30, 40, 60)]
    stored([Measurement(EPOCH_NS, case.tag("a"), [0.0])])
    with connecting.connect() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        Apply(oldest_ns=lambda: 0, partition_hours=1).store(cursor, Batch.of(first))
        other = threading.Thread(target=stored, args=(second,))
        other.start()
        wait_until(_somebody_waits_for_a_row, timeout_s=10, what="the other writer to wait")
        cursor.execute("COMMIT")
        other.join()
    check(case, [[Measurement(EPOCH_NS, case.tag("a"), [0.0])], first, second])


def _somebody_waits_for_a_row() -> bool:
    with connecting.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND query LIKE '%timeseries_taghour%' AND datname = current_database()"
        ).fetchone()
    return row is not None and bool(row[0])


@pytest.mark.django_db
def test_people_with_psql_read_measurements(postgres_store: StoreUnderTest) -> None:
    case = postgres_store.case()
    rows = [
        Measurement(EPOCH_NS + 60 * 10**9 * at, case.tag("a"), [at + 0.25] * (1 + at % 3))
        for at in range(200)
    ]
    stored(rows)
    span = EPOCH_NS + 59 * 60 * 10**9, EPOCH_NS + 181 * 60 * 10**9
    with connecting.connect() as connection:
        found = connection.execute(
            "SELECT * FROM timeseries_measurements(%s, %s, %s)", (case.tag("a"), *span)
        ).fetchall()
    assert found == case.exported(case.tag("a"), *span)
    assert len(found) == 122


widths = st.one_of(st.just([2] * 40), st.lists(st.integers(1, 64), min_size=1, max_size=40))


@given(widths, st.integers(1, 3_000))
def test_rows_come_out_of_blocks_as_they_went_in(counts: list[int], block_bytes: int) -> None:
    rng = np.random.default_rng(len(counts))
    batch = Batch(
        [],
        np.sort(rng.integers(1, 5, len(counts))),
        np.sort(rng.choice(3 * HOUR_NS, len(counts))),
        np.array(counts, np.int64),
        rng.standard_normal(sum(counts)),
    )
    starts = run_starts(batch.codes, hours(batch.times_ns))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "BLOCK_BYTES", block_bytes)
        found = list(copied(b"".join(packed.copy_blocks(batch, starts))))
    lengths = np.array([struct.unpack_from(">i", times, 12)[0] for _, _, times, _ in found])
    rows = packed.rows_of(
        lengths,
        b"".join(times for _, _, times, _ in found),
        np.array([len(values) for _, _, _, values in found]),
        b"".join(values for _, _, _, values in found),
    )
    assert rows.times_ns.tolist() == batch.times_ns.tolist()
    assert rows.counts.tolist() == counts
    assert rows.values.tolist() == batch.values.tolist()
    firsts = np.append(0, np.cumsum(lengths))[:-1]
    assert [each[:2] for each in found] == list(
        zip(batch.codes[firsts].tolist(), batch.times_ns[firsts].tolist(), strict=True)
    )


def copied(content: bytes) -> Iterator[tuple[int, int, bytes, bytes]]:
    """The four columns of each row of a binary COPY."""
    assert content[: len(packed.COPY_HEADER)] == packed.COPY_HEADER
    at = len(packed.COPY_HEADER)
    while content[at : at + 2] != packed.COPY_TRAILER:
        assert struct.unpack_from(">h", content, at) == (4,)
        at += 2
        columns: list[Any] = []
        for _ in range(4):
            (size,) = struct.unpack_from(">i", content, at)
            columns.append(content[at + 4 : at + 4 + size])
            at += 4 + size
        tag, first, times, values = columns
        yield int.from_bytes(tag), int.from_bytes(first), times, values
    assert at + 2 == len(content)


@pytest.mark.django_db
def test_a_row_wider_than_a_block_is_a_block(
    postgres_store: StoreUnderTest, small_blocks: None
) -> None:
    case = postgres_store.case()
    wide = [Measurement(EPOCH_NS + at, case.tag("a"), [1.5] * 64) for at in range(5)]
    stored(wide, wide[2:3])
    check(case, [wide])
    assert len(blocks(case.tag("a"))) == 5
