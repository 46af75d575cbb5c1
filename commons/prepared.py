"""For the few writes that are made all day: statements that PostgreSQL parses and plans once a
connection, several of them in one message. Through Django's connection: its transactions, errors
and metrics.

What a change of an ad costs PostgreSQL is mostly planning, and then round trips, of which each
costs both sides a system call and a sleep. psycopg's pipeline spares the sleeps, too, but not our
CPU: 1.2 ms a change, as much as without.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from django.db import NotSupportedError, connection


class Statement(NamedTuple):
    """One statement. `name` is nobody else's in the product, the values are `$1`, `$2` and so on,
    and `has_row` says that it gives a row.
    """

    name: str
    sql: str
    has_row: bool = False


class Named(NamedTuple):
    """A statement that gives a row, and the names of its values in their order."""

    statement: Statement
    names: tuple[str, ...]

    @classmethod
    def of(cls, name: str, text: str) -> "Named":
        """Out of a text with `%(name)s` for each value, of which PostgreSQL can tell the types."""
        names = tuple(dict.fromkeys(_PLACE.findall(text)))
        sql = _PLACE.sub(lambda place: f"${names.index(place[1]) + 1}", text).replace("%%", "%")
        return cls(Statement(name, sql, has_row=True), names)


class Call(NamedTuple):
    """A statement with its values."""

    statement: Statement
    values: Sequence[Any]


_PLACE = re.compile(r"%\((\w+)\)s")
# By connection; None when what it has prepared does not hold any more.
_prepared: WeakKeyDictionary[Any, set[str] | None] = WeakKeyDictionary()


def run(*calls: Call, begin: bool = False) -> list[Any]:
    """Run the statements, each as if sent by itself, in one round trip; gives the rows of those
    that have one. Raises what Django raises for a database error: NotSupportedError once on each
    connection after a migration has changed a column that a statement gives.

    With `begin` the transaction is begun in the same message: only right inside an outermost
    `atomic`, before anything else was sent.
    """
    with connection.cursor() as cursor:
        if begin:
            # Or psycopg would send a BEGIN of its own first. Django, which has no part in that,
            # commits or rolls back what is open.
            connection.connection.autocommit = True
        known = _prepared.setdefault(connection.connection, set())
        if known is None:
            cursor.execute("DEALLOCATE ALL")
            known = _prepared[connection.connection] = set()
        for name, sql, _ in (call.statement for call in calls):
            if name not in known:
                cursor.execute(f"PREPARE {name} AS {sql}")
                known.add(name)
        message = _message(begin, *[(call.statement.name, len(call.values)) for call in calls])
        try:
            cursor.execute(message, [value for call in calls for value in call.values])
        except NotSupportedError:
            _prepared[connection.connection] = None
            raise
        if begin:
            cursor.nextset()
        rows = []
        for call in calls:
            if call.statement.has_row:
                rows.append(cursor.fetchone())
            cursor.nextset()
    return rows


def fetch(named: Named, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """The row that the statement always gives. Raises what Django raises for a database error."""
    row = find(named, values)
    assert row is not None
    return row


def find(named: Named, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """The row that the statement gives, if there is one. Raises as above."""
    call = Call(named.statement, [values[name] for name in named.names])
    try:
        [row] = run(call)
    except NotSupportedError:
        if connection.in_atomic_block:
            raise
        # Nothing was done, and now it is prepared anew.
        [row] = run(call)
    found: tuple[Any, ...] | None = row
    return found


@cache
def _message(begin: bool, *executions: tuple[str, int]) -> str:
    """The statements of these names, with places for so many values each."""
    parts = ["BEGIN"] if begin else []
    for name, count in executions:
        places = f" ({', '.join(['%s'] * count)})" if count else ""
        parts.append(f"EXECUTE {name}{places}")
    return "; ".join(parts)
