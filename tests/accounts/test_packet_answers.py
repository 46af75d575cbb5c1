"""What packets are answered from memory, and until when."""

from collections.abc import Callable

import pytest

from accounts import services
from accounts.packets.answers import new_answers
from accounts.packets.codec import Packet, PacketUser
from accounts.packets.known_lines import KnownLine
from accounts.remembered import RememberedPasswords
from accounts.renewals import Login, Renewals
from tests.accounts.conftest import PASSWORD, Clock

pytestmark = pytest.mark.django_db


class Asked(Renewals):
    """Renewals that only write down."""

    def __init__(self) -> None:
        super().__init__(lambda login: None, before_s=15)
        self.logins: list[Login] = []

    def ask(self, login: Login) -> None:
        self.logins.append(login)


@pytest.fixture
def clock(sessions) -> Clock:
    clock = Clock()
    sessions.passwords = RememberedPasswords(seconds=60, clock=clock)
    sessions.memory.trust()
    return clock


@pytest.fixture
def renewals() -> Asked:
    return Asked()


@pytest.fixture
def ask(ann, clock, renewals) -> Callable[[str], KnownLine | None]:
    """Ann, who is logged in, asks from memory."""
    opened = services.session_open(username="ann", password=PASSWORD)
    services.session_check(token=opened.token)
    from_memory = new_answers(renewals).from_memory
    packets = {
        "LOGIN": Packet("LOGIN", PacketUser(username="ann", password=PASSWORD)),
        "VALIDATE": Packet("VALIDATE", PacketUser(token=opened.token)),
    }
    return lambda name: from_memory(packets[name], "192.0.2.1")


@pytest.mark.parametrize("name", ["LOGIN", "VALIDATE"])
@pytest.mark.parametrize("news", ["user", "distrust"])
def test_an_answer_holds_until_something_changes(ask, ann, sessions, name, news):
    known = ask(name)
    assert known.format == name
    assert known.answer.startswith(b'{"Success":true')
    assert known.holds()
    if news == "user":
        sessions.heard(f"user {ann.pk}")
    else:
        sessions.distrust()
    assert not known.holds()
    assert ask(name) is None


def test_a_login_is_looked_at_where_addresses_are_locked(ask, sessions):
    login, validate = ask("LOGIN"), ask("VALIDATE")
    sessions.heard("lock address 192.0.2.9")
    assert not login.holds()
    assert validate.holds()
    assert ask("LOGIN") is not None
    sessions.heard("lock address 192.0.2.1")
    assert ask("LOGIN") is None


def test_an_address_is_not_looked_at_for_ever(ask, sessions, monkeypatch):
    login = ask("LOGIN")
    monkeypatch.setattr(sessions, "_locked_s", 3600.0)
    sessions.heard("lock address 192.0.2.9")
    monkeypatch.setattr(sessions, "_locked_s", 0.0)
    sessions.heard("lock address 192.0.2.8")
    assert not login.holds()
    sessions.heard("lock address 192.0.2.9")
    assert login.holds()
    assert not sessions.some_address_is_locked


def test_a_login_is_not_known_to_a_locked_account(ask, sessions):
    login = ask("LOGIN")
    sessions.heard("lock account ann")
    assert not login.holds()
    assert ask("LOGIN") is None


def test_a_failed_login_is_forgiven_by_the_next_right_one(ask, ann, sessions):
    login = ask("LOGIN")
    sessions.heard("failure bob")
    assert login.holds()
    sessions.heard("failure ann")
    assert not login.holds()
    assert ask("LOGIN") is None
    # Its password still needs no hash.
    assert sessions.passwords.knows(key="ann", encoded=ann.password, password=PASSWORD)


def test_a_login_is_renewed_before_it_is_forgotten(ask, clock, renewals):
    login = ask("LOGIN")
    clock.now_s += 44
    assert login.holds()
    assert ask("LOGIN") is not None
    assert renewals.logins == []
    clock.now_s += 2
    assert not login.holds(), "so that it is seen, and renewed"
    assert ask("LOGIN") is not None
    assert renewals.logins == [Login("ann", PASSWORD, "192.0.2.1")]
    clock.now_s += 15
    assert ask("LOGIN") is None
