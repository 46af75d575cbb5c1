"""Prepared statements in one message do what they do one by one."""

import pytest
from django.db import (
    DataError,
    IntegrityError,
    InternalError,
    NotSupportedError,
    ProgrammingError,
    connection,
    transaction,
)

from commons.prepared import Call, Named, Statement, fetch, run
from config import wiring

ADD = Statement("test_add", "SELECT $1::int + $2::int", has_row=True)
NOTE = Statement("test_note", "INSERT INTO noted (what, at) VALUES ($1, $2)")
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


def test_a_transaction_begins_with_the_first_message(noted):
    with transaction.atomic():
        run(Call(NOTE, ["a", []]), begin=True)
        assert run(Call(COUNT, [])) == [(1,)]
        transaction.set_rollback(True)
    assert run(Call(COUNT, [])) == [(0,)]
    with transaction.atomic():
        run(Call(NOTE, ["a", []]), begin=True)
    assert connection.get_autocommit()
    assert run(Call(COUNT, [])) == [(1,)]


def test_one_that_fails_leaves_nothing_of_the_transaction(noted):
    with pytest.raises(IntegrityError), transaction.atomic():
        run(Call(NOTE, ["a", []]), Call(NOTE, [None, []]), begin=True)
    assert run(Call(COUNT, [])) == [(0,)]
    assert statements() == 2


def test_values_have_names(noted):
    both = Named.of("test_both", "SELECT %(a)s::int - %(b)s::int + %(a)s::int, 7 %% 4, '%%'")
    assert fetch(both, {"b": 1, "a": 10, "more": None}) == (19, 3, "%")
    assert statements() == 1


def test_a_rollback_keeps_what_is_prepared(noted):
    for _ in range(3):
        with transaction.atomic():
            assert run(Call(ADD, [1, 2]), begin=True) == [(3,)]
            transaction.set_rollback(True)
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
            with transaction.atomic():
                assert run(Call(named.statement, []), begin=True) == [("ann",)]
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
