"""However many guess at once, on however many workers and through both doors: no more passwords
are looked at than the limit allows, and a Redis that starts anew forgets nothing of it.
"""

import os
import secrets
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.support import database, pid_of, request
from tests.packets.support import Line
from tests.support.stack import Stack, wait_until

pytestmark = pytest.mark.xdist_group("faults")

PASSWORD = "correct horse"
LIMIT = 10


@pytest.fixture
def wide() -> Iterator[Stack]:
    with Stack({"WEB_CONCURRENCY": "4", "ACCOUNT_HASHING_WAITING": "100"}) as stack:
        yield stack


def registered(stack: Stack) -> str:
    name = f"u{secrets.token_hex(10)}"
    body = {"username": name, "password": PASSWORD}
    assert request(stack.port, "POST", "/api/v1/users/register", body=body).status == 201
    return name


def log_in(stack: Stack, name: str, password: str) -> int:
    """The status; what was too much at once is asked again."""
    body = {"username": name, "password": password}
    while (status := request(stack.port, "POST", "/api/v1/users/login", body=body).status) == 503:
        pass
    return status


def looked_at(stack: Stack, name: str) -> int:
    """How many wrong passwords were verified, as the audit has it."""
    with database(stack) as connection:
        row = connection.execute(
            "SELECT count(*) FROM accounts_auditevent WHERE username = %s AND kind = 'failure'",
            [name],
        ).fetchone()
    assert row is not None
    return int(row[0])


def guess(stack: Stack, guesses: int) -> None:
    name = registered(stack)
    with ThreadPoolExecutor(guesses) as clients:
        statuses = Counter(
            clients.map(lambda number: log_in(stack, name, f"wrong {number}"), range(guesses))
        )
    assert statuses == {401: LIMIT, 429: guesses - LIMIT}
    assert looked_at(stack, name) == LIMIT
    before = stack.pids["redis"]
    os.kill(before, signal.SIGKILL)
    wait_until(
        lambda: pid_of(stack, "redis") not in (None, before), timeout_s=60, what="another Redis"
    )
    assert log_in(stack, name, PASSWORD) == 429
    with Line(stack.packets_port) as line:
        assert not line.ask("LOGIN", Username=name, Password=PASSWORD)["Success"]
    assert looked_at(stack, name) == LIMIT


def test_guesses_at_once(victim: Stack) -> None:
    guess(victim, 30)


@pytest.mark.drill
def test_two_hundred_guesses_over_four_workers(wide: Stack) -> None:
    guess(wide, 200)
    processes = [each for each in wide.processes() if "gunicorn" in " ".join(each.cmdline())]
    assert len(processes) >= 4
