"""A transaction of few messages is a transaction."""

from contextlib import suppress

import pytest
from django.db import (
    IntegrityError,
    OperationalError,
    connection,
    transaction,
)
from prometheus_client import REGISTRY

from commons import connecting
from commons.prepared import Call, Statement, run, transacting
from tests.commons.support import (
    ADD,
    BAD,
    COUNT,
    GOOD,
    LABELS,
    NOTE,
    is_open,
    statements,
    transact,
)


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
    with connecting.connect() as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
    with pytest.raises(OperationalError):
        transact([Call(ADD, [1, 2])])
    transact([Call(ADD, [1, 2])])


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
