"""The threads that log people in: every outcome is an answer, the line is bounded."""

import asyncio
import json
import threading
import uuid
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from accounts import login_lane, services
from accounts.errors import BadCredentialsError, LockedError
from accounts.login_door import Login
from accounts.login_lane import BUSY, LoginLane
from accounts.people import OpenedSession, Person
from accounts.tokens import new_token
from config.refusals import refusal as _refusal
from runtime.http.answer import Answer
from tests.accounts.conftest import PASSWORD

ANN = Login("ann", PASSWORD, "a device", "192.0.2.1")


def log_in(logins: list[Login], *, threads: int = 2, waiting: int = 8) -> list[Answer]:
    """The answers, in the order of the logins."""

    async def run() -> list[Answer]:
        loop = asyncio.get_running_loop()
        lane = LoginLane(threads=threads, waiting=waiting, refusal=_refusal)
        futures = [loop.create_future() for _ in logins]
        for login, future in zip(logins, futures, strict=True):
            lane.hand_over(login, future.set_result)
        try:
            return await asyncio.wait_for(asyncio.gather(*futures), 60)
        finally:
            lane.stop()

    return asyncio.run(run())


def by_the_view(client: Client) -> Any:
    """What Django answers to the same login."""
    return client.post(
        "/api/v1/users/login",
        {"username": "ann", "password": PASSWORD},
        content_type="application/json",
        headers={"user-agent": "a device"},
        REMOTE_ADDR="192.0.2.1",
    )


def test_a_session_is_told_as_the_view_tells_it(monkeypatch, client):
    opened = OpenedSession(
        token=new_token(),
        person=Person(
            user_id=1, session_id=uuid.UUID(int=1), username="Ann", nickname="安 \"'é", image=""
        ),
    )
    asked: list[dict[str, Any]] = []

    def session_open(**given: Any) -> OpenedSession:
        asked.append(given)
        return opened

    monkeypatch.setattr(services, "session_open", session_open)
    [answer] = log_in([ANN])
    cold = by_the_view(client)
    assert (answer.status, answer.body) == (cold.status_code, cold.content)
    assert asked == [ANN._asdict()] * 2


@pytest.mark.parametrize(
    "error",
    [
        BadCredentialsError(),
        LockedError(41.2),
        OperationalError("gone"),
        ZeroDivisionError("a mistake"),
    ],
)
def test_an_error_is_told_as_the_view_tells_it(monkeypatch, client, error):
    def fails(**_: Any) -> OpenedSession:
        raise error

    monkeypatch.setattr(services, "session_open", fails)
    [answer] = log_in([ANN])
    cold = by_the_view(client)
    assert (answer.status, answer.body) == (cold.status_code, cold.content)
    assert answer.text_headers().get("retry-after") == cold.headers.get("retry-after")


def test_what_is_too_much_at_once_is_refused_and_the_rest_is_not(monkeypatch):
    go_on = threading.Event()

    def session_open(**_: Any) -> OpenedSession:
        go_on.wait(60)
        raise BadCredentialsError

    counted: list[str] = []

    def count_login(result: str) -> None:
        counted.append(result)
        go_on.set()

    monkeypatch.setattr(services, "session_open", session_open)
    monkeypatch.setattr(login_lane, "count_login", count_login)
    answers = log_in([ANN] * 5, threads=1, waiting=2)
    assert [answer.status for answer in answers] == [401, 401, 401, 503, 503]
    assert answers[3] is BUSY
    assert json.loads(BUSY.body)["msg"].startswith("login: ")
    assert counted == ["busy", "busy"]


def test_who_has_waited_too_long_is_not_looked_at(monkeypatch):
    asked: list[str] = []

    def session_open(**given: Any) -> OpenedSession:
        asked.append(given["username"])
        raise BadCredentialsError

    monkeypatch.setattr(services, "session_open", session_open)
    monkeypatch.setattr(LoginLane, "patience_s", -1.0)
    assert log_in([ANN]) == [BUSY]
    assert not asked
