"""Whoever waits for PostgreSQL waits for so long, and is told what that leaves open."""

import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.db import OperationalError

from commons.connecting import connect, own_parameters
from commons.patience import (
    CommitUnansweredError,
    NoAnswerError,
    PatientConnection,
    is_uncertain,
    limit_process,
    patience,
)
from commons.pipeline import Command, talk
from tests.support.stack import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
_LONG = "SELECT pg_sleep(60)"


@pytest.fixture
def patient() -> Iterator[PatientConnection]:
    # So that no question outlives the test.
    options = "-c client_connection_check_interval=100"
    with PatientConnection.connect(**own_parameters(options)) as connection:
        yield connection


@pytest.mark.parametrize(
    "ask", [lambda it: it.execute(_LONG), lambda it: talk(it, [Command(_LONG.encode())])]
)
def test_an_answer_is_not_waited_for_for_ever(
    patient: PatientConnection, ask: Callable[[PatientConnection], object]
) -> None:
    began_s = time.monotonic()
    with patience(0.2), pytest.raises(NoAnswerError, match=r"has not answered for 0\.2 s"):
        ask(patient)
    assert time.monotonic() - began_s < 30
    # Nobody is given that connection, and with it the answer.
    assert patient.closed


def test_without_a_limit_the_answer_is_waited_for(patient: PatientConnection) -> None:
    assert patient.execute("SELECT pg_sleep(0.3)").fetchone() == ("",)
    with patience(0.1), patience(None):
        assert patient.execute("SELECT pg_sleep(0.3)").fetchone() == ("",)


def test_a_limit_is_of_the_thread_that_set_it_or_of_the_process(
    patient: PatientConnection,
) -> None:
    caught: list[Exception] = []

    def ask() -> None:
        try:
            patient.execute("SELECT pg_sleep(0.3)")
        except NoAnswerError as error:
            caught.append(error)

    def ask_elsewhere() -> None:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(30)

    with patience(0.05):
        ask_elsewhere()
    assert not caught
    limit_process(0.05)
    try:
        with patience(None):
            ask()
            assert not caught
            ask_elsewhere()
        assert len(caught) == 1
    finally:
        limit_process(None)


def test_whether_a_connection_lives_is_not_asked_for_long(
    patient: PatientConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the pool asks, of a server that stands still."""
    waited_s: list[float | None] = []
    monkeypatch.setattr(psycopg.Connection, "wait", lambda *given: waited_s.append(given[-1]))
    for limit_s in (None, 15.0, 1.0):
        with patience(limit_s):
            patient.execute("")
            patient.execute("SELECT 1")
    monkeypatch.undo()
    assert waited_s == [3.0, None, 3.0, 15.0, 1.0, 1.0]


def test_postgresql_does_not_work_for_nobody(patient: PatientConnection) -> None:
    pid = patient.info.backend_pid
    patient.execute("SET client_connection_check_interval = 0")
    with patience(0.1), pytest.raises(NoAnswerError):
        patient.execute(_LONG)

    def gone() -> bool:
        with connect() as other:
            found = other.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [pid])
            return found.fetchone() == (0,)

    wait_until(gone, timeout_s=30, what="its backend is gone")


@pytest.fixture
def slow_commit(patient: PatientConnection) -> Iterator[PatientConnection]:
    """Of a table whose rows take a minute to commit."""
    with connect() as other:
        other.execute("CREATE TABLE slowly (what int)")
        other.execute(
            "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN IF NEW.what = 2 THEN RAISE EXCEPTION USING ERRCODE = '40001'; END IF;"
            " PERFORM pg_sleep(60); RETURN NULL; END $$"
        )
        other.execute(
            "CREATE CONSTRAINT TRIGGER slowly AFTER INSERT ON slowly DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION slowly()"
        )
        patient.autocommit = False
        yield patient
        patient.close()
        other.execute("DROP TABLE slowly")
        other.execute("DROP FUNCTION slowly")


def as_django_tells(error: Exception) -> OperationalError:
    told = OperationalError()
    told.__cause__ = error
    return told


def test_of_a_commit_without_an_answer_nobody_knows(slow_commit: PatientConnection) -> None:
    slow_commit.execute("INSERT INTO slowly VALUES (1)")
    with patience(0.2), pytest.raises(CommitUnansweredError) as caught:
        slow_commit.commit()
    assert is_uncertain(as_django_tells(caught.value))


def test_of_what_failed_before_its_commit_one_does(slow_commit: PatientConnection) -> None:
    slow_commit.execute("INSERT INTO slowly VALUES (1)")
    with patience(0.2), pytest.raises(NoAnswerError) as caught:
        slow_commit.execute(_LONG)
    assert not is_uncertain(as_django_tells(caught.value))


def test_a_commit_that_postgresql_refuses_is_refused(slow_commit: PatientConnection) -> None:
    slow_commit.execute("INSERT INTO slowly VALUES (2)")
    with pytest.raises(psycopg.OperationalError) as caught:
        slow_commit.commit()
    assert not isinstance(caught.value, CommitUnansweredError)
