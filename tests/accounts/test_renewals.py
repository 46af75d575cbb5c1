"""Renewing logins before they are forgotten."""

import threading
from collections.abc import Iterator

import pytest

from accounts.renewals import Login, Renewals
from tests.support.stack import wait_until

ANN, BOB = Login("ann", "p", ""), Login("bob", "p", "")


class Renewing:
    """Writes down who is renewed; waits for `go_on`, and fails for bob."""

    def __init__(self) -> None:
        self.renewed: list[Login] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, login: Login) -> None:
        self.renewed.append(login)
        assert self.go_on.wait(60)
        assert login != BOB


@pytest.fixture
def renewing() -> Renewing:
    return Renewing()


@pytest.fixture
def renewals(renewing: Renewing) -> Iterator[Renewals]:
    renewals = Renewals(renewing, before_s=15)
    yield renewals
    renewing.go_on.set()
    renewals.stop()


def test_a_login_is_renewed_once_however_often_it_is_asked_for(
    renewals: Renewals, renewing: Renewing
) -> None:
    renewing.go_on.clear()
    for login in (ANN, BOB, ANN, BOB):
        renewals.ask(login)
    renewing.go_on.set()
    wait_until(lambda: not renewals._asked, timeout_s=60, what="all are renewed")
    assert renewing.renewed == [ANN, BOB]


def test_a_login_can_be_renewed_again_even_after_a_failure(
    renewals: Renewals, renewing: Renewing
) -> None:
    for _ in range(2):
        renewals.ask(BOB)
        wait_until(lambda: not renewals._asked, timeout_s=60, what="it is over")
    assert renewing.renewed == [BOB, BOB]


def test_no_more_wait_than_the_thread_can_do(renewals: Renewals, renewing: Renewing) -> None:
    renewing.go_on.clear()
    for number in range(1000):
        renewals.ask(Login(f"user-{number}", "p", ""))
    assert len(renewals._asked) == 500


def test_stopping_drops_what_waits(renewals: Renewals, renewing: Renewing) -> None:
    renewing.go_on.clear()
    renewals.ask(ANN)
    wait_until(lambda: renewing.renewed, timeout_s=60, what="it is begun")
    renewals.ask(BOB)
    threading.Timer(0.05, renewing.go_on.set).start()
    renewals.stop()
    assert renewing.renewed == [ANN]
