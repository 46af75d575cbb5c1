"""Prepared statements in one message do what they do one by one."""

import pytest
from django.db import IntegrityError, connection, transaction

from commons.prepared import Call, Statement, run

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
