"""Without PostgreSQL reads go on from memory and writes are refused; then all is as before."""

import os
import secrets
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.faults.support import (
    Reply,
    ad_body,
    create,
    database,
    killed,
    no_read_fails,
    paused,
    pid_of,
    request,
    wait_agreed,
    wait_written,
)
from tests.support.stack import Stack, wait_until

pytestmark = pytest.mark.xdist_group("faults")

# However long PostgreSQL was away.
RECOVERED_WITHIN_S = 10.0
SOME_TIME = [3, pytest.param(20, marks=pytest.mark.drill)]


def answers(stack: Stack) -> bool:
    try:
        with database(stack) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


@pytest.mark.parametrize("seconds", SOME_TIME)
def test_reads_go_on_while_postgres_stands_still(seconds: int, victim: Stack) -> None:
    with no_read_fails(victim) as readers:
        with paused(victim.pids["postgres"]):
            before = dict(readers.counts)
            threading.Event().wait(seconds)
            assert all(readers.counts[port] > before[port] for port in before)
        wait_written(victim, "Written after the pause")
        wait_agreed(victim)


def test_nobody_waits_for_ever_while_postgres_stands_still(victim: Stack) -> None:
    """Also of those whose connection is there and looks well; afterwards all is as it was told."""
    ad_id = create(victim, "Written before").body["data"]
    name = f"u{secrets.token_hex(10)}"
    person = {"username": name, "password": "correct horse"}
    assert request(victim.port, "POST", "/api/v1/users/register", body=person).status == 201
    other = {**person, "username": f"{name}-2"}
    questions: list[tuple[str, str, Any]] = [
        ("GET", "/counters/{}", None),
        ("GET", "/api/v1/users/me", None),
        ("POST", "/api/v1/users/login", person),
        ("POST", "/api/v1/users/register", other),
        ("GET", "/api?tag=a&start=0&end=1", None),
    ]

    def ask(question: tuple[str, str, Any]) -> Reply:
        method, path, body = question
        token = "nobodys" if path.endswith("/me") else ""
        # Another one each time, which no cache knows.
        return request(victim.port, method, path.format(uuid4()), body=body, bearer=token)

    with ThreadPoolExecutor(12) as clients, no_read_fails(victim):
        list(clients.map(ask, questions))
        with paused(victim.pids["postgres"]):
            asked = clients.map(ask, [*questions[:-1], *questions[:-1]])
            for reply in [*refused_writes(victim, ad_id), *asked]:
                # 504 of a commit that was under way.
                assert reply.status in (503, 504), reply
                assert reply.body["msg"]
            metrics = request(victim.port, "GET", "/metrics")
            assert metrics.status == 200
        wait_until(lambda: answers(victim), timeout_s=30, what="PostgreSQL answers")
        wait_until(
            lambda: request(victim.port, "POST", "/api/v1/users/login", body=person).status == 200,
            timeout_s=RECOVERED_WITHIN_S,
            what="logins go on",
        )
        wait_written(victim, "Written after the pause", within_s=RECOVERED_WITHIN_S)
    with database(victim) as connection:
        titles = connection.execute("SELECT title FROM adserver_ad").fetchall()
    assert ("Never written",) not in titles


def refused_writes(stack: Stack, ad_id: str) -> list[Reply]:
    """One write of each kind, all at once: each waits for a connection until it gives up."""
    one, import_path = f"/api/v1/ads/{ad_id}/", "/api/v1/ads/import/"
    ad = ad_body("Never written")
    writes: list[tuple[str, str, Any]] = [
        ("POST", "/api/v1/ad", ad),
        ("PUT", one, ad),
        ("PATCH", one, {"title": "Never written"}),
        ("DELETE", one, None),
        ("POST", import_path, [ad]),
    ]
    token = stack.operator["token"]
    with ThreadPoolExecutor(len(writes)) as pool:
        replies = [
            pool.submit(request, stack.port, method, path, body=body, token=token)
            for method, path, body in writes
        ]
        return [reply.result() for reply in replies]


@pytest.mark.parametrize("seconds", SOME_TIME)
def test_writes_are_refused_and_reads_go_on_while_postgres_is_gone(
    seconds: int, victim: Stack
) -> None:
    ad_id = create(victim, "Written before").body["data"]
    before = wait_agreed(victim)
    with no_read_fails(victim):
        with killed(victim, "postgres"):
            for _ in range(2):
                for reply in refused_writes(victim, ad_id):
                    assert reply.status == 503, reply
                    assert int(reply.headers["Retry-After"]) > 0
                    assert reply.body["msg"]
                threading.Event().wait(seconds / 2)
            wait_until(
                lambda: request(victim.port, "GET", "/readyz").status == 503,
                timeout_s=60,
                what="the api says that it is not ready",
            )
            assert request(victim.edge_port, "GET", "/readyz").status == 200
            assert request(victim.port, "GET", "/healthz").status == 200
        wait_until(lambda: answers(victim), timeout_s=30, what="PostgreSQL is back")
        after = wait_agreed(victim)
        assert after == before
        wait_written(victim, "Written again", within_s=RECOVERED_WITHIN_S)
        wait_until(
            lambda: request(victim.port, "GET", "/readyz").status == 200,
            timeout_s=60,
            what="the api is ready again",
        )


def test_logins_are_refused_while_postgres_is_gone_and_go_on_behind_it(victim: Stack) -> None:
    body = {"username": f"u{secrets.token_hex(10)}", "password": "correct horse"}
    assert request(victim.port, "POST", "/api/v1/users/register", body=body).status == 201

    def log_in(_: int) -> Reply:
        return request(victim.port, "POST", "/api/v1/users/login", body=body)

    with ThreadPoolExecutor(12) as clients:
        assert {reply.status for reply in clients.map(log_in, range(12))} == {200}
        with killed(victim, "postgres"):
            for reply in clients.map(log_in, range(12)):
                assert reply.status == 503, reply
                assert int(reply.headers["Retry-After"]) > 0
                assert reply.body["msg"]
        wait_until(lambda: answers(victim), timeout_s=30, what="PostgreSQL is back")
        wait_until(
            lambda: {reply.status for reply in clients.map(log_in, range(12))} == {200},
            timeout_s=RECOVERED_WITHIN_S,
            what="everybody can log in again",
        )


def test_the_supervisor_brings_postgres_back(victim: Stack) -> None:
    before = victim.pids["postgres"]
    with no_read_fails(victim):
        os.kill(before, signal.SIGKILL)
        wait_until(
            lambda: pid_of(victim, "postgres") not in (None, before) and answers(victim),
            timeout_s=60,
            what="another PostgreSQL answers",
        )
        wait_written(victim, "Written after the crash")
        wait_agreed(victim)


def test_what_was_accepted_before_the_crash_is_there(victim: Stack) -> None:
    """Acknowledged means on disk: PostgreSQL is killed while writers are at it."""
    accepted: list[str] = []
    stopping = threading.Event()

    def write() -> None:
        number = 0
        while not stopping.is_set():
            number += 1
            try:
                reply = create(victim, f"Written under fire {number}")
            except OSError:
                continue
            if reply.status == 201:
                accepted.append(reply.body["data"])

    writers = [threading.Thread(target=write) for _ in range(2)]
    for thread in writers:
        thread.start()
    try:
        wait_until(lambda: len(accepted) > 20, timeout_s=30, what="writes are accepted")
        with no_read_fails(victim):
            with killed(victim, "postgres"):
                stopping.set()
            wait_until(lambda: answers(victim), timeout_s=30, what="PostgreSQL is back")
            wait_agreed(victim)
    finally:
        stopping.set()
        for thread in writers:
            thread.join()
    with database(victim) as connection:
        rows = connection.execute("SELECT id::text FROM adserver_ad").fetchall()
    assert set(accepted) <= {ad_id for (ad_id,) in rows}
