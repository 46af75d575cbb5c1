"""For the few writes that are made all day: statements that PostgreSQL parses and plans once a
connection, several of them in one message. Through Django's connection: its transactions, errors
and metrics.

What a change of an ad costs PostgreSQL is mostly planning, and then round trips, of which each
costs both sides a system call and a sleep. psycopg's pipeline spares the sleeps, too, but not our
CPU: 1.2 ms a change, as much as without.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import psycopg
from django.db import NotSupportedError, connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg.pq import TransactionStatus


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


def run(*calls: Call) -> list[Any]:
    """Run the statements, each as if sent by itself, in one round trip; gives the rows of those
    that have one. Raises what Django raises for a database error: NotSupportedError once on each
    connection after a migration has changed a column that a statement gives.
    """
    with connection.cursor() as cursor:
        return _run(cursor, calls, "", "")


class Transaction:
    """A transaction, see `transacting`."""

    def run(self, *calls: Call, last: bool = False) -> list[Any]:
        """As the function `run`; `last` says that nothing else follows, so that the COMMIT may go
        in the same message. Raises what that raises too, for an outermost transaction.
        """
        return run(*calls)


class _FewMessages(Transaction):
    """Begins with its first message. Django believes that every statement is by itself."""

    def __init__(self, cursor: CursorWrapper) -> None:
        self._cursor = cursor
        self._begin = "BEGIN"

    def run(self, *calls: Call, last: bool = False) -> list[Any]:
        begin, self._begin = self._begin, ""
        return _run(self._cursor, calls, begin, "COMMIT" if last else "")


@contextmanager
def transacting(*, few: bool) -> Iterator[Transaction]:
    """A transaction; inside another one, a savepoint. With `few`, an outermost one takes no
    messages but those that are run, and the code in it must say which is the `last`. Without
    that one, and when anything is raised, nothing is done.
    """
    if not few or connection.in_atomic_block:
        with transaction.atomic():
            yield Transaction()
        return
    with connection.cursor() as cursor:
        try:
            yield _FewMessages(cursor)
        finally:
            _end(connection.connection)


def _end(psycopg_connection: Any) -> None:
    """Roll back what was not committed. A connection that cannot is closed, as Django does."""
    if psycopg_connection.info.transaction_status == TransactionStatus.IDLE:
        return
    try:
        psycopg_connection.rollback()
    except psycopg.Error:
        connection.close()


def _run(cursor: CursorWrapper, calls: Sequence[Call], begin: str, commit: str) -> list[Any]:
    known = _prepared.setdefault(connection.connection, set())
    if known is None:
        cursor.execute("DEALLOCATE ALL")
        known = _prepared[connection.connection] = set()
    for name, sql, _ in (call.statement for call in calls):
        if name not in known:
            cursor.execute(f"PREPARE {name} AS {sql}")
            known.add(name)
    message = _message(begin, commit, *[(call.statement.name, len(call.values)) for call in calls])
    try:
        send(cursor, message, [value for call in calls for value in call.values])
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


def send(cursor: CursorWrapper, message: str, values: list[Any]) -> None:
    """Send one message and wait for the answers: where tests break the line."""
    cursor.execute(message, values)


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
def _message(begin: str, commit: str, *executions: tuple[str, int]) -> str:
    """The statements of these names, with places for so many values each."""
    statements = [
        f"EXECUTE {name} ({', '.join(['%s'] * count)})" if count else f"EXECUTE {name}"
        for name, count in executions
    ]
    return "; ".join(filter(None, [begin, *statements, commit]))
