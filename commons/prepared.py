"""For the few writes that are made all day: statements that PostgreSQL parses and plans once a
connection, several of them in one message. Over Django's connection: its transactions, errors and
metrics.

What a change of an ad costs PostgreSQL is mostly planning, and then round trips, of which each
costs both sides system calls and a sleep. What it costs us is the interpreter between Django's
cursor and the socket: so the messages are made of libpq's own calls, pipelined, with psycopg's
forms of values. A change of an ad took two thirds more of our CPU with cursors, and a fifth more
of PostgreSQL's, which had to read the values' text as SQL.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import psycopg
from django.db import (
    DEFAULT_DB_ALIAS,
    NotSupportedError,
    OperationalError,
    connections,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django_prometheus.db import errors_total, execute_total, query_duration_seconds
from prometheus_client import Counter, Histogram
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from commons.patience import CommitUnansweredError
from commons.pipeline import Command, talk


class Statement(NamedTuple):
    """One statement. `name` is nobody else's in the product, the values are `$1`, `$2` and so on,
    and `has_row` says that it gives a row.
    """

    name: str
    sql: str
    has_row: bool = False

    @property
    def writes(self) -> bool:
        """Whether it changes anything, as far as its text tells."""
        return _WRITES.search(self.sql) is not None


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


# What was asked in one, and how many seconds it took.
_Message = tuple[Sequence[Call], float]
_BEGIN, _COMMIT, _FORGET_ALL = (Command(text) for text in (b"BEGIN", b"COMMIT", b"DEALLOCATE ALL"))
_FAILURES = (ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED)
_PLACE = re.compile(r"%\((\w+)\)s")
_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE)\s")


class _Session:
    """What we keep of one connection: the names of what is prepared there, None when that does not
    hold any more, and the forms of values, of which finding each costs as much as using it.
    """

    __slots__ = ("adapt", "prepared")
    _KEY = "adhouse_session"

    def __init__(self, psycopg_connection: psycopg.Connection[Any]) -> None:
        self.prepared: set[str] | None = set()
        self.adapt = Transformer(psycopg_connection)

    @classmethod
    def of(cls, psycopg_connection: psycopg.Connection[Any]) -> "_Session":
        """The connection's own, which goes along when a pool lends it to others. The two hold each
        other: Python's collector frees them some time after the connection was closed.
        """
        kept = vars(psycopg_connection)
        session: _Session | None = kept.get(cls._KEY)
        if session is None:
            session = kept[cls._KEY] = cls(psycopg_connection)
        return session


def run(*calls: Call) -> list[Any]:
    """Run the statements in one round trip, all or none; gives the rows of those that have one.
    Raises what Django raises for a database error: NotSupportedError once on each connection after
    a migration has changed a column that a statement gives.
    """
    return _run(_database(), calls)


class Transaction:
    """A transaction, see `transacting`."""

    def __init__(self, database: BaseDatabaseWrapper) -> None:
        self._database = database

    def run(self, *calls: Call, last: bool = False) -> list[Any]:
        """As the function `run`; `last` says that nothing else follows, so that the COMMIT may go
        in the same message, and its errors come from here.
        """
        return _run(self._database, calls)

    def once_committed(self, callback: Callable[[], object]) -> None:
        """Call it when this is committed, at once if it is. To be asked for after the `last`."""
        transaction.on_commit(callback)


class _FewMessages(Transaction):
    """Begins with its first message, and ends with the first that fails. Django believes that every
    statement is by itself.
    """

    def __init__(self, database: BaseDatabaseWrapper) -> None:
        super().__init__(database)
        self._begun = False
        self._connection: psycopg.Connection[Any] | None = None
        self._messages: list[_Message] = []

    def run(self, *calls: Call, last: bool = False) -> list[Any]:
        database, begin = self._database, not self._begun
        if begin:
            self._begun = True
            self._connection = _ready(database)
        elif self._connection is None or database.connection is not self._connection:
            raise OperationalError("the transaction has failed, or its connection was lost")
        started_s = time.perf_counter()
        try:
            return _ask(database, calls, begin=begin, commit=last)
        except BaseException:
            self._connection = None
            raise
        finally:
            self._messages.append((calls, time.perf_counter() - started_s))

    def once_committed(self, callback: Callable[[], object]) -> None:
        callback()

    def end(self) -> None:
        """Roll back what was not committed. A connection that cannot is closed, as Django does."""
        connection = self._database.connection
        if connection and connection.pgconn.transaction_status != TransactionStatus.IDLE:
            try:
                connection.rollback()
            except psycopg.Error:
                self._database.close()
        if self._messages:
            _count(self._database, self._messages)


@contextmanager
def transacting(*, few: bool) -> Iterator[Transaction]:
    """A transaction; inside another one, a savepoint. With `few`, an outermost one takes no
    messages but those that are run, and the code in it must say which is the `last`. Without
    that one, and when anything is raised, nothing is done.
    """
    database = _database()
    if not few or database.in_atomic_block or not database.get_autocommit():
        with transaction.atomic():
            yield Transaction(database)
        return
    within = _FewMessages(database)
    try:
        yield within
    finally:
        within.end()


def _database() -> BaseDatabaseWrapper:
    """Django's connection, of which `django.db.connection` looks every attribute up anew."""
    return connections[DEFAULT_DB_ALIAS]


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
        if _database().in_atomic_block:
            raise
        # Nothing was done, and now it is prepared anew.
        [row] = run(call)
    found: tuple[Any, ...] | None = row
    return found


def _run(database: BaseDatabaseWrapper, calls: Sequence[Call]) -> list[Any]:
    _ready(database)
    started_s = time.perf_counter()
    try:
        return _ask(database, calls)
    finally:
        _count(database, [(calls, time.perf_counter() - started_s)])


def _ready(database: BaseDatabaseWrapper) -> psycopg.Connection[Any]:
    """The connection, as Django's cursors begin."""
    database.close_if_health_check_failed()
    database.ensure_connection()
    database.validate_no_broken_transaction()
    connection: psycopg.Connection[Any] = database.connection
    return connection


def _ask(
    database: BaseDatabaseWrapper,
    calls: Sequence[Call],
    *,
    begin: bool = False,
    commit: bool = False,
) -> list[Any]:
    """One message and its rows, with Django's errors, which are counted."""
    try:
        return _exchange(database.connection, calls, begin, commit)
    except psycopg.Error as error:
        errors_total.labels(database.alias, database.vendor, type(error).__name__).inc()
        if isinstance(error, psycopg.errors.NotSupportedError):
            _Session.of(database.connection).prepared = None
        with database.wrap_database_errors:
            raise


def _count(database: BaseDatabaseWrapper, messages: Sequence[_Message]) -> None:
    """What Django's cursors would have counted and logged; those of a transaction have one duration
    together.
    """
    executed, seconds = _counters(database.alias, database.vendor)
    executed.inc(len(messages))
    seconds.observe(sum([taken_s for _, taken_s in messages]))
    if database.queries_logged:
        for calls, taken_s in messages:
            sql = "; ".join(call.statement.sql for call in calls)
            database.queries_log.append({"sql": sql, "time": f"{taken_s:.3f}"})


@cache
def _counters(alias: str, vendor: str) -> tuple[Counter, Histogram]:
    return execute_total.labels(alias, vendor), query_duration_seconds.labels(alias, vendor)


def _exchange(
    psycopg_connection: psycopg.Connection[Any], calls: Sequence[Call], begin: bool, commit: bool
) -> list[Any]:
    session = _Session.of(psycopg_connection)
    adapt = session.adapt
    message = _preparing(session, calls)
    preparing = len(message)
    idle = psycopg_connection.pgconn.transaction_status == TransactionStatus.IDLE
    if begin or (idle and not psycopg_connection.autocommit):
        message.append(_BEGIN)
    first = len(message)
    for statement, values in calls:
        # As text: which type a value has, PostgreSQL knows from the statement.
        forms = adapt.dump_sequence(values, [PyFormat.TEXT] * len(values))
        message.append(Command(_encoded(statement.name), forms))
    if commit:
        message.append(_COMMIT)
    by_itself = idle and psycopg_connection.autocommit and not begin
    try:
        results = talk(psycopg_connection, message)
    except psycopg.OperationalError as error:
        # Without a transaction around, the message may have been carried out.
        if by_itself and any(call.statement.writes for call in calls):
            raise CommitUnansweredError(str(error)) from error
        raise
    if preparing:
        _remember(session, message[:preparing], results)
    # What follows a failure was not tried, or says that the end failed as well.
    if results and results[-1].status in _FAILURES:
        raise psycopg.errors.error_from_result(
            next(result for result in results if result.status == ExecStatus.FATAL_ERROR)
        )
    rows = []
    for call, result in zip(calls, results[first:], strict=False):
        if call.statement.has_row:
            adapt.set_pgresult(result)
            rows.append(adapt.load_row(0, tuple) if result.ntuples else None)
    # It would be kept until the next one.
    adapt.set_pgresult(None)
    return rows


def _remember(session: _Session, preparing: Sequence[Command], results: Sequence[PGresult]) -> None:
    """Note what is prepared from now on; no rollback takes that back."""
    for command, result in zip(preparing, results, strict=False):
        if result.status != ExecStatus.COMMAND_OK:
            return
        if command is _FORGET_ALL:
            session.prepared = set()
        else:
            assert session.prepared is not None
            session.prepared.add(command.name)


def _preparing(session: _Session, calls: Iterable[Call]) -> list[Command]:
    """What a message with those calls begins with on this connection."""
    known = session.prepared
    new: dict[str, str] = {}
    for (name, sql, _), _ in calls:
        if known is None or name not in known:
            new[name] = sql
    preparing = [_FORGET_ALL] if known is None else []
    for name, sql in new.items():
        preparing.append(Command(f"PREPARE {name} AS {sql}".encode(), name=name))
    return preparing


@cache
def _encoded(name: str) -> bytes:
    return name.encode()
