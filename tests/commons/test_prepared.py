"""Prepared statements in one message do what they do one by one."""

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import md5
from uuid import UUID

import pytest
from django.db import (
    DataError,
    IntegrityError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)
from prometheus_client import REGISTRY
from psycopg.pq import TransactionStatus

from commons import pipeline, prepared
from commons.prepared import Call, Named, Statement, fetch, run, transacting
from config import wiring

ADD = Statement("test_add", "SELECT $1::int + $2::int", has_row=True)
NOTE = Statement("test_note", "INSERT INTO noted (what, at) VALUES ($1, $2)")
LABELS = {"alias": "default", "vendor": "postgresql"}
COUNT = Statement("test_count", "SELECT count(*) FROM noted", has_row=True)


@pytest.fixture
def noted(transactional_db):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE noted (what text NOT NULL, at text[])")
    yield
    # What is temporary, and what was prepared for it, ends with the connection.
    connection.connection.close()
    connection.close()


def statements() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'test_%%'", [])
        (count,) = cursor.fetchone()
    return int(count)


def test_each_row_is_given_in_order(noted):
    assert run(Call(ADD, [1, 2]), Call(NOTE, ["a % b; c' \\ ü", []]), Call(COUNT, [])) == [
        (3,),
        (1,),
    ]
    assert run(Call(NOTE, ["x", ["y", "z"]])) == []
    with connection.cursor() as cursor:
        cursor.execute("SELECT what, at FROM noted ORDER BY what DESC")
        assert cursor.fetchall() == [("x", ["y", "z"]), ("a % b; c' \\ ü", [])]
    assert statements() == 3


@pytest.fixture
def sent(monkeypatch):
    """The messages that are sent from now on."""
    messages: list[list[str]] = []
    real = pipeline.say

    def say(to, message):
        messages.append([command.text.decode().partition(" AS ")[0] for command in message])
        real(to, message)

    monkeypatch.setattr(pipeline, "say", say)
    return messages


def is_open() -> bool:
    status: TransactionStatus = connection.connection.info.transaction_status
    return status != TransactionStatus.IDLE


def transact(*messages: list[Call] | Exception) -> None:
    """One transaction of these messages, or raising that exception."""
    with transacting(few=True) as within:
        for number, message in enumerate(messages, start=1):
            if isinstance(message, Exception):
                raise message
            within.run(*message, last=number == len(messages))


def test_a_transaction_is_as_few_messages_as_it_takes(noted, sent):
    with transacting(few=True) as within:
        assert within.run(Call(NOTE, ["a", []]), Call(COUNT, [])) == [(1,)]
        assert is_open()
        assert within.run(Call(NOTE, ["b", []]), Call(COUNT, []), last=True) == [(2,)]
        assert not is_open()
    assert connection.get_autocommit()
    assert run(Call(COUNT, [])) == [(2,)]
    with transacting(few=True) as within:
        within.run(Call(NOTE, ["c", []]), last=True)
    assert sent == [
        ["PREPARE test_note", "PREPARE test_count", "BEGIN", "test_note", "test_count"],
        ["test_note", "test_count", "COMMIT"],
        ["test_count"],
        ["BEGIN", "test_note", "COMMIT"],
    ]
    assert run(Call(COUNT, [])) == [(3,)]


def test_what_has_no_last_message_is_not_done(noted):
    with transacting(few=True) as within:
        within.run(Call(NOTE, ["a", []]))
    assert not is_open()
    assert run(Call(COUNT, [])) == [(0,)]


GOOD, BAD = Call(NOTE, ["a", []]), Call(NOTE, [None, []])


def test_what_raises_is_not_done(noted):
    ways: list[tuple[type[Exception], list[list[Call] | Exception]]] = [
        (LookupError, [[GOOD], LookupError()]),
        (IntegrityError, [[GOOD], [BAD]]),
        (IntegrityError, [[GOOD, BAD]]),
    ]
    for error, messages in ways:
        with pytest.raises(error):
            transact(*messages)
        assert not is_open()
    assert run(Call(COUNT, [])) == [(0,)]
    assert statements() == 2


def test_inside_another_transaction_it_is_a_part_of_that(noted, sent):
    with transaction.atomic():
        transact([GOOD])
        with pytest.raises(IntegrityError):
            transact([GOOD, BAD])
        assert run(Call(COUNT, [])) == [(1,)]
        transaction.set_rollback(True)
    assert run(Call(COUNT, [])) == [(0,)]
    assert [message[-1] for message in sent[:3]] == ["test_note", "test_note", "test_count"]


def test_a_connection_that_is_lost_is_replaced(transactional_db):
    run(Call(ADD, [1, 2]))
    with wiring.connect() as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
    with pytest.raises(OperationalError):
        transact([Call(ADD, [1, 2])])
    transact([Call(ADD, [1, 2])])


def test_values_have_names(noted):
    both = Named.of("test_both", "SELECT %(a)s::int - %(b)s::int + %(a)s::int, 7 %% 4, '%%'")
    assert fetch(both, {"b": 1, "a": 10, "more": None}) == (19, 3, "%")
    assert statements() == 1


def test_a_rollback_keeps_what_is_prepared(noted):
    for _ in range(3):
        with transacting(few=True) as within:
            assert within.run(Call(ADD, [1, 2])) == [(3,)]
        assert run(Call(ADD, [3, 4])) == [(7,)]


@pytest.mark.django_db(transaction=True)
def test_a_prepared_statement_survives_a_migration_of_its_columns():
    def change(statement):
        # By another process: this one does not notice.
        with wiring.connect() as other:
            other.execute(statement)

    change("CREATE TABLE narrow (name varchar(5))")
    try:
        change("INSERT INTO narrow VALUES ('ann')")
        named = Named.of("test_narrow", "SELECT name FROM narrow")
        assert fetch(named, {}) == ("ann",)
        change("ALTER TABLE narrow ALTER name TYPE varchar(50)")
        for _ in range(2):
            assert fetch(named, {}) == ("ann",)
    finally:
        change("DROP TABLE narrow")


@pytest.mark.django_db(transaction=True)
def test_a_migration_costs_a_transaction_its_statement_once():
    named = Named.of("test_wide", "SELECT name FROM wide")

    def change(statement):
        with wiring.connect() as other:
            other.execute(statement)

    change("CREATE TABLE wide (name varchar(5))")
    try:
        change("INSERT INTO wide VALUES ('ann')")
        with transaction.atomic():
            assert fetch(named, {}) == ("ann",)
        change("ALTER TABLE wide ALTER name TYPE varchar(50)")
        with pytest.raises(NotSupportedError), transaction.atomic():
            fetch(named, {})
        for _ in range(2):
            with transacting(few=True) as within:
                assert within.run(Call(named.statement, []), last=True) == [("ann",)]
    finally:
        change("DROP TABLE wide")


@pytest.mark.django_db
def test_the_errors_of_a_fetched_row_are_django_s():
    with pytest.raises(DataError), transaction.atomic():
        fetch(Named.of("test_divide", "SELECT 1 / %(by)s::int"), {"by": 0})
    with transaction.atomic():
        with pytest.raises(ProgrammingError):
            fetch(Named.of("test_nothing", "SELECT nothing"), {})
        with pytest.raises(InternalError):
            fetch(Named.of("test_one", "SELECT 1"), {})
        transaction.set_rollback(True)


def test_what_was_prepared_before_a_failure_is_not_prepared_again(noted, sent):
    wrong = Call(Statement("test_wrong", "SELECT nothing"), [])
    for _ in range(2):
        with pytest.raises(ProgrammingError):
            run(GOOD, wrong)
    assert run(GOOD) == []
    assert sent[1:] == [["PREPARE test_wrong", "test_note", "test_wrong"], ["test_note"]]


def test_values_of_all_kinds_arrive(transactional_db):
    values = {
        "int": 2**40,
        "float": 0.1,
        "bytes": b"\x00\xff'\\",
        "text": "a\n\u00fc'\\ %s",
        "bool": True,
        "day": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        "span": timedelta(days=1, microseconds=1),
        "id": UUID(int=7),
        "list": ["x", 'y"{', ""],
        "none": None,
    }
    named = Named.of(
        "test_kinds",
        "SELECT %(int)s::bigint, %(float)s::float8, %(bytes)s::bytea, %(text)s::text,"
        " %(bool)s::bool, %(day)s::timestamptz, %(span)s::interval, %(id)s::uuid,"
        " %(list)s::text[], %(none)s::text",
    )
    assert fetch(named, values) == tuple(values.values())


def test_much_goes_through(transactional_db):
    named = Named.of("test_long", "SELECT md5(%(text)s), length(%(text)s)")
    text = "x" * 20_000_000
    assert fetch(named, {"text": text}) == (md5(text.encode()).hexdigest(), len(text))


def test_django_counts_the_messages(transactional_db, django_assert_num_queries):
    before = REGISTRY.get_sample_value("django_db_execute_total", LABELS) or 0
    with django_assert_num_queries(2):
        run(Call(ADD, [1, 2]), Call(ADD, [1, 2]))
        run(Call(ADD, [1, 2]))
    assert REGISTRY.get_sample_value("django_db_execute_total", LABELS) == before + 2
    with pytest.raises(DataError):
        run(Call(ADD, ["x", 2]))
    kind = {**LABELS, "type": "InvalidTextRepresentation"}
    assert REGISTRY.get_sample_value("django_db_errors_total", kind)


def test_others_go_on_while_postgresql_is_at_it(transactional_db):
    """Two threads, of which the second lets the first go on."""
    wait = Named.of("test_wait", "SELECT pg_advisory_lock(%(key)s::bigint) IS NULL")
    begun, got = threading.Event(), []

    def waiter() -> None:
        begun.set()
        got.append(fetch(wait, {"key": 7}))
        connections.close_all()

    with wiring.connect() as other:
        other.execute("SELECT pg_advisory_lock(7)")
        thread = threading.Thread(target=waiter)
        thread.start()
        assert begun.wait(60)
        waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while other.execute(waiting).fetchone() is None:
            assert run(Call(ADD, [1, 2])) == [(3,)]
        assert not got
        other.execute("SELECT pg_advisory_unlock(7)")
        thread.join(60)
    assert got == [(False,)]


@pytest.fixture
def pairs(transactional_db):
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE pairs (one int UNIQUE,"
            " other int REFERENCES pairs (one) DEFERRABLE INITIALLY DEFERRED)"
        )
    yield Statement("test_pair", "INSERT INTO pairs VALUES ($1, $2)")
    connection.connection.close()
    connection.close()


def test_what_only_the_commit_finds_wrong(pairs):
    with pytest.raises(IntegrityError):
        run(Call(pairs, [1, 2]))
    assert not is_open()
    with pytest.raises(IntegrityError):
        transact([Call(pairs, [1, 2])])
    assert not is_open()
    run(Call(pairs, [1, 2]), Call(pairs, [2, 1]))


def test_a_transaction_does_not_go_on_over_another_connection(noted):
    def closes() -> None:
        with transacting(few=True) as within:
            within.run(Call(ADD, [1, 2]))
            connection.close()
            within.run(Call(ADD, [1, 2]), last=True)

    with pytest.raises(OperationalError):
        closes()
    assert run(Call(ADD, [1, 2])) == [(3,)]


def test_what_could_not_be_forgotten_is_forgotten_later(transactional_db):
    run(Call(ADD, [1, 2]))
    with transaction.atomic():
        with connection.cursor() as cursor, pytest.raises(ProgrammingError):
            cursor.execute("SELECT nothing")
        connection.needs_rollback = False
        prepared._Session.of(connection.connection).prepared = None
        with pytest.raises(InternalError):
            run(Call(ADD, [1, 2]))
        transaction.set_rollback(True)
    assert run(Call(ADD, [1, 2])) == [(3,)]


def test_much_goes_both_ways(transactional_db):
    much = Statement("test_much", "SELECT repeat('x', $1::int), length($2::text)", has_row=True)
    size = 5_000_000
    rows = run(*[Call(much, [size, "y" * size])] * 3)
    assert [(len(text), count) for text, count in rows] == [(size, size)] * 3


def test_a_transaction_that_failed_does_not_go_on(noted, monkeypatch):
    def swallows(first: Call) -> None:
        with transacting(few=True) as within:
            with suppress(Exception):
                within.run(first)
            within.run(GOOD, last=True)

    for bad in (BAD, Call(NOTE, [object(), []])):
        with pytest.raises(OperationalError):
            swallows(bad)
        assert not is_open()

    def away(database) -> None:
        monkeypatch.undo()
        raise OperationalError("PostgreSQL is away")

    monkeypatch.setattr("commons.prepared._ready", away)
    with pytest.raises(OperationalError):
        swallows(GOOD)
    assert run(Call(COUNT, [])) == [(0,)]


def test_what_waits_for_the_commit_is_called_after_it(noted):
    called: list[int] = []

    def note() -> None:
        with transacting(few=True) as within:
            within.run(GOOD, last=True)
            within.once_committed(lambda: called.append(len(called)))

    note()
    assert called == [0]
    with transaction.atomic():
        note()
        assert called == [0]
    assert called == [0, 1]
    with suppress(LookupError), transaction.atomic():
        note()
        raise LookupError
    assert called == [0, 1]


def test_django_counts_the_messages_of_a_transaction(noted, django_assert_num_queries):
    def samples() -> list[float]:
        names = ("django_db_execute_total", "django_db_query_duration_seconds_count")
        return [REGISTRY.get_sample_value(name, LABELS) or 0 for name in names]

    before = samples()
    with django_assert_num_queries(2) as counted:
        transact([GOOD], [GOOD])
    assert [float(each["time"]) >= 0 for each in counted.captured_queries] == [True, True]
    assert samples() == [before[0] + 2, before[1] + 1], "one duration"


def test_a_transaction_whose_begin_failed_does_not_go_on_over_another_connection(noted):
    def swallows() -> None:
        with transacting(few=True) as within:
            with suppress(IntegrityError):
                within.run(BAD)
            connection.close()
            within.run(Call(ADD, [1, 2]), last=True)

    with pytest.raises(OperationalError):
        swallows()
    assert run(Call(ADD, [1, 2])) == [(3,)]
