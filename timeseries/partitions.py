"""The partitions of the measurements: which there are, making them ahead, dropping them.

A partition holds whole hours. What is past the retention goes by dropping tables, which costs
nothing however much they held; a delete would cost as much as the writing did.

No Django here: writers make a missing partition themselves, in the transaction that needs it.
"""

import re
from typing import Any, NamedTuple

from psycopg import Connection, Cursor, sql
from psycopg.errors import LockNotAvailable, ObjectNotInPrerequisiteState

HOUR_NS = 3_600_000_000_000
TABLE = "timeseries_block"
# Any numbers no other advisory lock of the product uses.
_MAKING_LOCK = 0x7473_6D61_6B65
_DROPPING_LOCK = 0x7473_6472_6F70
_BOUNDS = re.compile(r"FROM \('(\d+)'\) TO \('(\d+)'\)")
_LIST = """
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid), i.inhdetachpending
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'timeseries_block'::regclass
"""
# What a drop that was cut short has left: detached, not yet dropped.
_LEFT_OVER = r"""
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND NOT c.relispartition AND n.nspname = current_schema()
AND c.relname ~ '^timeseries_block_\d{10}$'
"""


class Partition(NamedTuple):
    """One table, for low ≤ time < high. `leaving`: its removal was cut short."""

    name: str
    low_ns: int
    high_ns: int
    leaving: bool = False


def name_of(low_ns: int) -> str:
    """The table that begins at that hour, which is counted from 1970: names sort by time."""
    return f"{TABLE}_{low_ns // HOUR_NS:010d}"


def partitions(connection: Connection[Any] | Cursor[Any]) -> list[Partition]:
    """All partitions, oldest first."""
    found = []
    for name, bounds, leaving in connection.execute(_LIST).fetchall():
        match = _BOUNDS.search(bounds)
        # One that somebody made by hand, such as a default partition, is not ours to touch.
        if match:
            found.append(Partition(name, int(match[1]), int(match[2]), bool(leaving)))
    return sorted(found, key=lambda partition: partition.low_ns)


def make_partitions(cursor: Cursor[Any], hours_ns: list[int], width_hours: int) -> list[Partition]:
    """Make what is missing for these hours (their beginnings); gives all that there are then.

    Inside the caller's transaction. Attaching blocks neither readers nor writers of the others,
    as `CREATE TABLE … PARTITION OF` would.
    """
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKING_LOCK,))
    existing = partitions(cursor)
    for hour_ns in sorted(hours_ns):
        if not any(each.low_ns <= hour_ns < each.high_ns for each in existing):
            existing.append(_make(cursor, _room(existing, hour_ns, width_hours * HOUR_NS)))
    return sorted(existing, key=lambda partition: partition.low_ns)


def _room(existing: list[Partition], hour_ns: int, width_ns: int) -> Partition:
    """The widest partition around the hour that overlaps no other: the width may have changed."""
    low_ns = hour_ns // width_ns * width_ns
    low_ns = max([low_ns, *(each.high_ns for each in existing if each.high_ns <= hour_ns)])
    high_ns = (hour_ns // width_ns + 1) * width_ns
    high_ns = min([high_ns, *(each.low_ns for each in existing if each.low_ns > hour_ns)])
    return Partition(name_of(low_ns), low_ns, high_ns)


def _make(cursor: Cursor[Any], partition: Partition) -> Partition:
    name, parent = sql.Identifier(partition.name), sql.Identifier(TABLE)
    # Left over from a removal that was cut short, so it holds what was to go.
    cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
    cursor.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(name, parent))
    cursor.execute(
        sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            parent, name, partition.low_ns, partition.high_ns
        )
    )
    return partition


def drop_partitions(connection: Connection[Any], before_ns: int) -> list[str]:
    """Drop the partitions all of whose time is before; gives their names.

    `connection` is in autocommit. Readers and writers of other partitions are never made to wait.
    What cannot be done now, because somebody reads long, is left for the next call; so is all of
    it while another process is at it.
    """
    dropped: list[str] = []
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_DROPPING_LOCK,)).fetchone()
    if row is None or not row[0]:
        return dropped
    try:
        for partition in partitions(connection):
            if partition.high_ns > before_ns:
                break
            if not _detach(connection, partition):
                break
            # Of one that was made by hand, whatever its name is, nothing would be found again.
            dropped.append(_drop(connection, partition.name))
        for (name,) in connection.execute(_LEFT_OVER).fetchall():
            if int(name.rpartition("_")[2]) * HOUR_NS < before_ns:
                dropped.append(_drop(connection, name))
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (_DROPPING_LOCK,))
    return sorted(dropped)


def _drop(connection: Connection[Any], name: str) -> str:
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
    return name


def _detach(connection: Connection[Any], partition: Partition) -> bool:
    """False when somebody is in the way."""
    how = sql.SQL("FINALIZE" if partition.leaving else "CONCURRENTLY")
    query = sql.SQL("ALTER TABLE {} DETACH PARTITION {} {}")
    try:
        connection.execute("SET lock_timeout = '2s'")
        connection.execute(query.format(sql.Identifier(TABLE), sql.Identifier(partition.name), how))
    except (LockNotAvailable, ObjectNotInPrerequisiteState):
        return False
    finally:
        connection.execute("RESET lock_timeout")
    return True
