"""Partitions by time: made before they are needed, dropped whole when all in them is too old.

A partition is made as a table of its own and then attached, which other drainers do not feel;
`CREATE TABLE … PARTITION OF` would wait for all of them, and they for it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from psycopg import Cursor, sql

from counters.models import DAY_S, HOUR_S, MINUTE_S

# Any number no other advisory lock of the product uses.
_LOCK = 0x636F_756E_7465_7273
Span = Literal["day", "month", "year"]
_FORMATS: dict[Span, str] = {"day": "%Y%m%d", "month": "%Y%m", "year": "%Y"}


@dataclass(frozen=True, kw_only=True)
class Family:
    """A table partitioned by time; `fillfactor` is the share of a page that new rows may take."""

    parent: str
    span: Span
    fillfactor: int

    def name(self, at: datetime) -> str:
        """The partition of that moment."""
        return f"{self.parent}_{at.astimezone(UTC).strftime(_FORMATS[self.span])}"

    def start(self, name: str) -> datetime | None:
        """A moment in the partition of that name; None if it is not one of ours."""
        text = name.removeprefix(f"{self.parent}_")
        try:
            return datetime.strptime(text, _FORMATS[self.span]).replace(tzinfo=UTC)
        except ValueError:
            return None

    def bounds(self, at: datetime) -> tuple[datetime, datetime]:
        """From when, and until before when, that partition holds rows."""
        day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self.span == "day":
            return day, day + timedelta(days=1)
        if self.span == "month":
            start = day.replace(day=1)
            return start, (start + timedelta(days=32)).replace(day=1)
        start = day.replace(month=1, day=1)
        return start, start.replace(year=start.year + 1)


# The rows of a history's bucket change until it is over.
HISTORY = {
    MINUTE_S: Family(parent="counters_history_minute", span="day", fillfactor=75),
    HOUR_S: Family(parent="counters_history_hour", span="month", fillfactor=75),
    DAY_S: Family(parent="counters_history_day", span="year", fillfactor=75),
}
IDEMPOTENCY = Family(parent="counters_idempotencykey", span="day", fillfactor=100)
FAMILIES = (*HISTORY.values(), IDEMPOTENCY)


def ensure_partitions(cursor: Cursor[Any], needed: Iterable[tuple[Family, datetime]]) -> list[str]:
    """Make the partitions that are missing, inside the cursor's transaction; their names."""
    wanted = {family.name(at): (family, at) for family, at in needed}
    missing = _missing(cursor, wanted)
    if missing:
        # Only one makes them; whoever waited finds them made.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        missing = _missing(cursor, missing)
    for name in missing:
        _make(cursor, name, *wanted[name])
    return missing


def _missing(cursor: Cursor[Any], names: Iterable[str]) -> list[str]:
    cursor.execute(
        "SELECT name FROM unnest(%s::text[]) AS wanted (name) WHERE to_regclass(name) IS NULL"
        " ORDER BY name",
        (list(names),),
    )
    return [name for (name,) in cursor.fetchall()]


def _make(cursor: Cursor[Any], name: str, family: Family, at: datetime) -> None:
    start, end = family.bounds(at)
    names = {"name": sql.Identifier(name), "parent": sql.Identifier(family.parent)}
    cursor.execute(
        sql.SQL("CREATE TABLE {name} (LIKE {parent}) WITH (fillfactor = {fill})").format(
            **names, fill=sql.Literal(family.fillfactor)
        )
    )
    cursor.execute(
        sql.SQL(
            "ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})"
        ).format(**names, start=sql.Literal(start), end=sql.Literal(end))
    )


def ended_partitions(cursor: Cursor[Any], family: Family, before: datetime) -> Iterator[str]:
    """The partitions that hold nothing younger than `before`, the oldest first."""
    cursor.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass"
        " ORDER BY 1",
        (family.parent,),
    )
    for (name,) in cursor.fetchall():
        start = family.start(name)
        if start is not None and family.bounds(start)[1] <= before:
            yield name


def drop_partition(cursor: Cursor[Any], name: str) -> None:
    """Drop one, inside the cursor's transaction. Waits for those who read or write its parent."""
    cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
