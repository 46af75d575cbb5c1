"""People to test with, and a process memory of each test's own."""

from collections.abc import Iterator

import pytest

from accounts import passwords, services
from accounts.logins import account_key
from accounts.models import User
from accounts.people import Person
from accounts.sessions import Sessions, process_sessions

PASSWORD = "correct horse"


class Clock:
    """Stands still until it is put forward."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def fresh_process() -> Iterator[None]:
    """What a process remembers does not outlive the test."""
    process_sessions.cache_clear()
    passwords.hash_pool.cache_clear()
    passwords._nobodys_password.cache_clear()
    yield
    process_sessions.cache_clear()
    passwords.hash_pool.cache_clear()


def reopened(username: str, password: str = PASSWORD) -> str | None:
    """The token of the session that this process would open again from memory."""
    found = process_sessions().login_from_memory(
        key=account_key(username), password=password, address=""
    )
    return found and found[0].token


@pytest.fixture
def ann(db: None) -> User:
    return services.user_register(username="Ann", password=PASSWORD, nickname="Annie")


@pytest.fixture
def person(ann: User) -> Person:
    """Ann, logged in."""
    return services.session_open(username="ann", password=PASSWORD).person


@pytest.fixture
def sessions() -> Sessions:
    return process_sessions()
