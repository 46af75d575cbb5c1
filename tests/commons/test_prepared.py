"""Prepared statements in one message do what they do one by one."""

import threading
from datetime import UTC, datetime, timedelta
from hashlib import md5
from uuid import UUID

import pytest
from django.db import (
    DataError,
    InternalError,
    NotSupportedError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)
from prometheus_client import REGISTRY

from commons import connecting, prepared
from commons.prepared import Call, Named, Statement, fetch, run, transacting
from tests.commons.support import ADD, COUNT, GOOD, LABELS, NOTE, statements


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
        with connecting.connect() as other:
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
        with connecting.connect() as other:
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

    with connecting.connect() as other:
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
