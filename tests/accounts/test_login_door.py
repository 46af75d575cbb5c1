"""Logins on the fast path: which ones it takes, and what the threads behind it are asked."""

import json
from collections.abc import Callable

import pytest

from accounts.login_door import BODY_BYTES_MOST, Login, LoginDoor
from runtime.addresses import Addresses
from runtime.http.answer import Answer
from runtime.http.routes import HotRequest, Reply
from runtime.http.usual import UsualJson

DONE = Answer(200, b"{}")
ANN = {"username": "ann", "password": "correct horse"}
PLAIN = {"host": "a", "content-length": "10", "content-type": "application/json"}


def usual_logins(host_is_allowed: Callable[[bytes], bool], *, https_only: bool) -> UsualJson:
    return UsualJson(
        body_bytes_most=BODY_BYTES_MOST, host_is_allowed=host_is_allowed, https_only=https_only
    )


class Noting:
    """Stands for the threads: notes the logins, and answers at once."""

    def __init__(self) -> None:
        self.logins: list[Login] = []

    def hand_over(self, login: Login, reply: Reply) -> None:
        self.logins.append(login)
        reply(DONE)


def pairs(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def ask(body: bytes, *, client: str = "192.0.2.1", **headers: str) -> tuple[Answer, list[Login]]:
    noting, answers = Noting(), list[Answer]()
    door = LoginDoor(noting.hand_over, Addresses(["10.0.0.0/8"]))
    given = pairs({name.replace("_", "-"): value for name, value in headers.items()})
    door(HotRequest(b"", body, given, client), answers.append)
    [answer] = answers
    return answer, noting.logins


def test_a_login_is_handed_over_with_device_and_address():
    body = json.dumps(ANN).encode()
    answer, [login] = ask(body, user_agent="Läptop", x_forwarded_for="203.0.113.9")
    assert answer is DONE
    assert login == Login("ann", "correct horse", "Läptop", "192.0.2.1")
    _, [login] = ask(body, client="10.1.1.1", x_forwarded_for="203.0.113.9, 10.2.2.2")
    assert login == Login("ann", "correct horse", "", "203.0.113.9")


@pytest.mark.parametrize(
    ("body", "msg"),
    [
        (b"", "username: is required"),
        (b"{}", "username: is required"),
        (b'{"username": "a"}', "password: is required"),
        (b'{"username": "a", "password": 5}', "password: must be text"),
        (b'{"username": null, "password": 5}', "username: must be text"),
        (b"[]", "body: must be an object"),
        (b"{", "body: is not valid JSON (line 1, column 2)"),
        (b'{"username": "a", "username": "b"}', "body: the key 'username' is given twice"),
    ],
)
def test_a_body_that_is_no_login(body, msg):
    answer, logins = ask(body)
    assert (answer.status, json.loads(answer.body)) == (400, {"msg": msg})
    assert not logins


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"content-type": "Application/JSON"},
        {"content-type": "application/json; charset=utf-8"},
        {"accept": "*/*"},
        {"accept": "application/json, text/plain, */*"},
        {"accept": "text/html,*/*;q=0.8,application/json"},
        {"x-forwarded-proto": "https"},
        {"content-length": str(BODY_BYTES_MOST)},
    ],
)
def test_usual_logins(change):
    usual = usual_logins(lambda host: host == b"a", https_only=False)
    assert usual(b"", pairs(PLAIN | change))


@pytest.mark.parametrize(
    "change",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"accept": ""},
        {"accept": "text/html"},
        {"accept": "application/xml, */*;q=0.1"},
        {"content-length": str(BODY_BYTES_MOST + 1)},
        {"host": "b"},
        {"host": ""},
    ],
)
def test_logins_for_django(change):
    usual = usual_logins(lambda host: host == b"a", https_only=False)
    assert not usual(b"", pairs(PLAIN | change))


def test_more_logins_for_django():
    usual = usual_logins(lambda host: True, https_only=True)
    secure = pairs(PLAIN | {"x-forwarded-proto": "https"})
    assert usual(b"", secure)
    assert not usual(b"format=json", secure)
    assert not usual(b"", [*secure, (b"x-forwarded-for", b"a"), (b"x-forwarded-for", b"b")])
    assert not usual(b"", pairs(PLAIN))
    assert not usual(b"", pairs(PLAIN | {"x-forwarded-proto": "http"}))
