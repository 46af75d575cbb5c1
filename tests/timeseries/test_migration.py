"""What was stored as a row for each measurement is in blocks afterwards, all of it."""

import struct
from importlib import import_module

import numpy as np
import psycopg
import pytest

from commons import connecting
from timeseries.partitions import HOUR_NS
from timeseries.stores.packed import rows_of

FIRST = import_module("timeseries.migrations.0001_initial")
BLOCKS = import_module("timeseries.migrations.0002_blocks")
FIRST_HOUR = 500_000
_TAGS = "CREATE TABLE timeseries_tag (id int PRIMARY KEY, name text); INSERT INTO timeseries_tag"
_READ = """
SELECT cardinality(times), array_send(times), length(values), values
FROM timeseries_block WHERE tag_id = %s ORDER BY first_ns
"""


def old_rows() -> dict[int, dict[int, list[float]]]:
    """By tag and time: many of one width, few of many widths, and the ends of hours."""
    start_ns = FIRST_HOUR * HOUR_NS
    steady = {start_ns + at * HOUR_NS // 400: [at + 0.5] * 10 for at in range(1_000)}
    uneven = {start_ns + HOUR_NS - 20 + at: [float(at)] * (1 + at % 64) for at in range(100)}
    return {1: steady, 2: uneven, 3: {start_ns + 3 * HOUR_NS - 1: [-0.0, 5e-324]}}


@pytest.mark.django_db
def test_rows_become_blocks() -> None:
    rows = old_rows()
    with connecting.connect() as connection:
        connection.execute("CREATE SCHEMA before_blocks; SET search_path TO before_blocks")
        try:
            _make_old(connection, rows)
            for statement in (BLOCKS.BLOCK, BLOCKS.MOVE, BLOCKS.FUNCTIONS):
                connection.execute(statement)
            for tag_id, expected in rows.items():
                assert _read(connection, tag_id) == sorted(expected.items())
            tables = {name for (name,) in connection.execute("SELECT relname FROM pg_class")}
            assert {"by_hand", f"timeseries_block_{FIRST_HOUR + 2:010d}"} <= tables
            assert not any(name.startswith("timeseries_measurement_") for name in tables)
            by_psql = connection.execute(
                "SELECT * FROM timeseries_measurements('uneven', 0, %s)", (2**62,)
            )
            assert by_psql.fetchall() == sorted(rows[2].items())
            assert connection.execute("SELECT count(*) FROM timeseries_block").fetchone() == (
                (9 + 9 + 5) + (1 + 12) + 1,
            )
        finally:
            connection.execute("DROP SCHEMA before_blocks CASCADE")


def _make_old(connection: psycopg.Connection, rows: dict[int, dict[int, list[float]]]) -> None:
    connection.execute(f"{_TAGS} VALUES (1, 'steady'), (2, 'uneven'), (3, 'one')")
    connection.execute(FIRST.MEASUREMENT)
    connection.execute(FIRST.FLOATS)
    hours = range(FIRST_HOUR, FIRST_HOUR + 3)
    names = [f"timeseries_measurement_{hour:010d}" for hour in hours[1:]]
    for name, hour in zip(["by_hand", *names], hours, strict=True):
        connection.execute(
            f"CREATE TABLE {name} PARTITION OF timeseries_measurement"
            f" FOR VALUES FROM ({hour * HOUR_NS}) TO ({(hour + 1) * HOUR_NS})"
        )
    # What a removal that was cut short has left.
    connection.execute("CREATE TABLE timeseries_measurement_0000000001 (time_ns bigint)")
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO timeseries_measurement (tag_id, time_ns, values) VALUES (%s, %s, %s)",
            [
                (tag_id, time_ns, struct.pack(f">{len(values)}d", *values))
                for tag_id, of_tag in rows.items()
                for time_ns, values in of_tag.items()
            ],
        )


def _read(connection: psycopg.Connection, tag_id: int) -> list[tuple[int, list[float]]]:
    found = connection.execute(_READ, (tag_id,), binary=True).fetchall()
    lengths, times, sizes, values = zip(*found, strict=True)
    return list(rows_of(np.array(lengths), b"".join(times), np.array(sizes), b"".join(values)))
