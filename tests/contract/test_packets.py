"""Account packets over TCP: every rule that clients may rely on, against the running product."""

import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest
from PIL import Image

from accounts.packets.client import PacketClient
from tests.packets.support import Line, packet
from tests.support import plain_http
from tests.support.stack import Stack, wait_until

pytestmark = pytest.mark.xdist_group("contract")
PASSWORD = "correct horse"
# Generous on purpose: the bound is a second, on a machine that is not shared.
REVOKED_TIMEOUT_S = 10.0


@pytest.fixture
def line(stack: Stack) -> Iterator[Line]:
    with Line(stack.packets_port) as connected:
        yield connected


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with plain_http.Client(base_url=f"{stack.url}/api/v1/users/", timeout=30) as client:
        yield client


@pytest.fixture
def name() -> str:
    return f"tcp-{uuid4().hex[:20]}"


@pytest.fixture
def registered(line: Line, name: str) -> str:
    """A user of this test's own."""
    assert line.ask("REGISTER", Username=name, Password=PASSWORD, Nickname="Nick")["Success"]
    return name


@pytest.fixture
def token(line: Line, registered: str) -> str:
    """A session of theirs."""
    token: str = line.ask("LOGIN", Username=registered, Password=PASSWORD)["User"]["Token"]
    return token


def refused(answer: dict[str, Any], *words: str) -> bool:
    """No, and a reason that says these words; nothing of anybody."""
    return (
        answer["Success"] is False
        and answer["User"] == {}
        and all(word in answer["Err"] for word in words)
    )


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


# Register and log in


def test_register_gives_the_user_and_no_token(line: Line, name: str) -> None:
    answer = line.ask("REGISTER", Username=name, Password=PASSWORD, Nickname="Nick Näme")
    user = {"Username": name, "Nickname": "Nick Näme", "URL": ""}
    assert answer == {"Success": True, "User": user, "Err": ""}


def test_a_name_is_taken_whatever_its_case(line: Line, registered: str) -> None:
    for again in (registered, registered.upper()):
        answer = line.ask("REGISTER", Username=again, Password=PASSWORD)
        assert refused(answer, "Username", "taken")


@pytest.mark.parametrize(
    ("user", "word"),
    [
        ({"Username": "x" * 31, "Password": PASSWORD}, "Username"),
        ({"Username": "tab\there", "Password": PASSWORD}, "Username"),
        ({"Username": "nul\0here", "Password": PASSWORD}, "Username"),
        ({"Username": "short password", "Password": "seven77"}, "Password"),
        ({"Username": "long password", "Password": "x" * 129}, "Password"),
        ({"Username": "a", "Password": PASSWORD, "Nickname": "x" * 31}, "Nickname"),
        ({"Username": "", "Password": PASSWORD}, "Username"),
        ({"Password": PASSWORD}, "Username"),
        ({"Username": "no password"}, "Password"),
    ],
)
def test_a_field_that_is_wrong_is_named(line: Line, user: dict[str, str], word: str) -> None:
    assert refused(line.ask("REGISTER", **user), f"User.{word}: ")


def test_login_gives_a_token_that_every_door_takes(
    line: Line, http: httpx.Client, registered: str
) -> None:
    answer = line.ask("LOGIN", Username=registered.upper(), Password=PASSWORD)
    token = answer["User"].pop("Token")
    user = {"Username": registered, "Nickname": "Nick", "URL": ""}
    assert answer == {"Success": True, "User": user, "Err": ""}
    assert line.ask("VALIDATE", Token=token) == {"Success": True, "User": user, "Err": ""}
    me = http.get("me", headers=bearer(token))
    assert me.json() == {"username": registered, "nickname": "Nick", "image": ""}


def test_a_login_over_http_is_valid_here(line: Line, http: httpx.Client, registered: str) -> None:
    login = http.post("login", json={"username": registered, "password": PASSWORD})
    assert line.ask("VALIDATE", Token=login.json()["token"])["User"]["Username"] == registered


def test_login_again_gives_a_token_that_is_valid(
    stack: Stack, line: Line, registered: str, token: str
) -> None:
    tokens = {token}
    for _ in range(3):
        tokens.add(line.ask("LOGIN", Username=registered, Password=PASSWORD)["User"]["Token"])
    # Other connections may reach other processes.
    for _ in range(4):
        with Line(stack.packets_port) as other:
            tokens.add(other.ask("LOGIN", Username=registered, Password=PASSWORD)["User"]["Token"])
            assert all(other.ask("VALIDATE", Token=each)["Success"] for each in tokens)


def test_a_wrong_password_and_a_stranger_get_the_same_answer(line: Line, token: str) -> None:
    known = line.ask("VALIDATE", Token=token)["User"]["Username"]
    wrong = line.ask("LOGIN", Username=known, Password=PASSWORD + "!")
    stranger = line.ask("LOGIN", Username=f"no-{uuid4().hex[:20]}", Password=PASSWORD)
    assert wrong == stranger
    assert refused(wrong, "Username", "Password")


def test_too_many_failures_lock_the_account_for_every_door(
    line: Line, http: httpx.Client, registered: str, token: str
) -> None:
    assert line.ask("LOGIN", Username=registered, Password=PASSWORD)["Success"]
    for _ in range(10):
        assert not line.ask("LOGIN", Username=registered, Password="wrong password")["Success"]
    assert refused(line.ask("LOGIN", Username=registered, Password=PASSWORD), "too many failures")
    login = http.post("login", json={"username": registered, "password": PASSWORD})
    assert login.status_code == 429
    assert line.ask("VALIDATE", Token=token)["Success"], "sessions are not ended by it"


# What a session may do


def test_the_nickname_changes_for_every_door(line: Line, http: httpx.Client, token: str) -> None:
    answer = line.ask("UPDATE_NICKNAME", Token=token, Nickname="Another")
    assert (answer["Success"], answer["User"]["Nickname"]) == (True, "Another")
    assert line.ask("VALIDATE", Token=token)["User"]["Nickname"] == "Another"

    def seen() -> bool:
        return bool(http.get("me", headers=bearer(token)).json()["nickname"] == "Another")

    wait_until(seen, timeout_s=REVOKED_TIMEOUT_S, what="the nickname is seen over HTTP")
    answer = line.ask("UPDATE_NICKNAME", Token=token, Nickname="x" * 31)
    assert refused(answer, "User.Nickname: ")
    unchanged = line.ask("UPDATE_NICKNAME", Token=token)
    assert (unchanged["Success"], unchanged["User"]["Nickname"]) == (True, "Another")
    assert line.ask("UPDATE_NICKNAME", Token=token, Nickname="")["User"]["Nickname"] == ""


def test_the_picture_is_one_that_was_uploaded(line: Line, http: httpx.Client, token: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (20, 10), "teal").save(file, "PNG")
    files = {"image": ("me.png", file.getvalue(), "image/png")}
    url = http.put("me/image", files=files, headers=bearer(token)).json()["image"]
    changed = line.ask("UPDATE_IMAGE", Token=token, URL=url)
    assert changed["Success"]
    shown = changed["User"]["URL"]
    assert plain_http.get(str(http.base_url.join(shown))).status_code == 200
    assert line.ask("VALIDATE", Token=token)["User"]["URL"] == shown
    for user in ({}, {"URL": shown}):
        unchanged = line.ask("UPDATE_IMAGE", Token=token, **user)
        assert (unchanged["Success"], unchanged["User"]["URL"]) == (True, shown)
    for other in ("https://example.com/x.png", "/pictures/../../etc/passwd", shown + "x"):
        assert refused(line.ask("UPDATE_IMAGE", Token=token, URL=other), "User.URL: ")
    assert line.ask("UPDATE_IMAGE", Token=token, URL="")["User"]["URL"] == ""


@pytest.mark.parametrize("format_", ["VALIDATE", "LOGOUT", "UPDATE_NICKNAME", "UPDATE_IMAGE"])
@pytest.mark.parametrize("bad", ["x", "x" * 43, "ü\ud7ff", "x" * 5000])
def test_a_token_that_is_no_session_is_refused(line: Line, format_: str, bad: str) -> None:
    assert refused(line.ask(format_, Token=bad, Nickname="n", URL="u"), "User.Token: ")


def test_logout_ends_the_session_for_every_door(
    stack: Stack, line: Line, http: httpx.Client, token: str
) -> None:
    others = [Line(stack.packets_port) for _ in range(8)]
    assert all(other.ask("VALIDATE", Token=token)["Success"] for other in others)
    assert http.get("me", headers=bearer(token)).status_code == 200
    assert line.ask("LOGOUT", Token=token)["Success"]
    assert refused(line.ask("VALIDATE", Token=token), "User.Token: ")
    assert refused(line.ask("LOGOUT", Token=token), "User.Token: ")

    def ended() -> bool:
        return http.get("me", headers=bearer(token)).status_code == 401 and not any(
            other.ask("VALIDATE", Token=token)["Success"] for other in others
        )

    wait_until(ended, timeout_s=REVOKED_TIMEOUT_S, what="the session is refused everywhere")
    for other in others:
        other.close()


def test_a_changed_password_ends_other_sessions_here(
    line: Line, http: httpx.Client, registered: str, token: str
) -> None:
    mine = http.post("login", json={"username": registered, "password": PASSWORD}).json()["token"]
    body = {"old": PASSWORD, "new": "battery staple"}
    assert http.post("password", json=body, headers=bearer(mine)).status_code == 204

    def ended() -> bool:
        return not line.ask("VALIDATE", Token=token)["Success"]

    wait_until(ended, timeout_s=REVOKED_TIMEOUT_S, what="the other session is refused")
    assert line.ask("VALIDATE", Token=mine)["Success"]
    assert refused(line.ask("LOGIN", Username=registered, Password=PASSWORD), "Password")
    assert line.ask("LOGIN", Username=registered, Password="battery staple")["Success"]


# Lines


def test_no_answer_holds_a_password(line: Line, registered: str) -> None:
    line.send(
        packet("LOGIN", Username=registered, Password=PASSWORD)
        + packet("REGISTER", Username=registered, Password=PASSWORD)
        + packet("LOGIN", Username=PASSWORD, Password=PASSWORD)
        + packet("VALIDATE", Password=PASSWORD, Token="x")
        + b'{"Format":"LOGIN","User":{"Username":["correct horse"],"Password":"correct horse"}}\n'
    )
    for _ in range(5):
        assert PASSWORD not in json.dumps(line.read())


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b"hello", "packet: "),
        (b"", "packet: "),
        (b"\xff\xfe", "packet: "),
        (b"[]", "packet: "),
        (b"{}", "Format: "),
        (b'{"Format":"DELETE","User":{}}', "Format: "),
        (b'{"Format":"VALIDATE","User":7}', "User: "),
        (b'{"Format":"VALIDATE","User":{"Token":7}}', "User.Token: "),
        (b'{"Format":"VALIDATE"}', "User.Token: "),
    ],
)
def test_a_bad_packet_is_answered_and_the_connection_stays(
    line: Line, token: str, text: bytes, word: str
) -> None:
    line.send(text + b"\n")
    assert refused(line.read(), word)
    assert line.ask("VALIDATE", Token=token)["Success"]


def test_packets_in_any_pieces_are_answered_in_order(line: Line, registered: str) -> None:
    """Some need a hash or PostgreSQL, those behind them do not."""
    token = line.ask("LOGIN", Username=registered, Password=PASSWORD)["User"]["Token"]
    stream = (
        packet("VALIDATE", Token=token)
        + packet("LOGIN", Username=f"no-{uuid4().hex}"[:30], Password=PASSWORD)
        + packet("VALIDATE", Token=token)
        + packet("UPDATE_NICKNAME", Token=token, Nickname="Piece")
        + packet("VALIDATE", Token=token)
        + packet("LOGOUT", Token=token)
        + packet("VALIDATE", Token=token)
        + b"STOP\n"
    )
    for start in range(0, len(stream), 97):
        line.send(stream[start : start + 97])
    answers = [line.read() for _ in range(7)]
    assert [answer["Success"] for answer in answers] == [True, False, True, True, True, True, False]
    nicknames = [answer["User"].get("Nickname") for answer in answers]
    assert nicknames == ["Nick", None, "Nick", "Piece", "Piece", "Piece", None]
    assert line.ended()


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_over_64_kib_closes_the_connection(line: Line, end: bytes) -> None:
    line.send(b'{"Format":"' + b"x" * 65_536 + end)
    assert line.ended()


def test_nobody_gets_anothers_answer(stack: Stack, http: httpx.Client) -> None:
    """Clients that cut lines in half, leave, and wait for nothing, between others that work."""
    users = [f"own-{uuid4().hex[:16]}" for _ in range(6)]
    with Line(stack.packets_port) as line:
        for user in users:
            assert line.ask("REGISTER", Username=user, Password=PASSWORD)["Success"]
        tokens = [line.ask("LOGIN", Username=u, Password=PASSWORD)["User"]["Token"] for u in users]

    def rude(turn: int) -> None:
        data = packet("VALIDATE", Token=tokens[turn % 6]) * 3
        with Line(stack.packets_port) as line:
            line.send(data[: len(data) - turn % 90])

    def polite(turn: int) -> bool:
        answer = client.validate(token=tokens[turn % 6])
        return answer.success and answer.user.username == users[turn % 6]

    with (
        PacketClient("127.0.0.1", stack.packets_port, size=4, wait_s=30, timeout_s=30) as client,
        ThreadPoolExecutor(8) as threads,
    ):
        works: list[Callable[[int], object]] = [rude, polite]
        done = [threads.submit(works[turn % 2], turn) for turn in range(400)]
        assert all(each.result() is not False for each in done)


# What operators see


def test_the_processes_are_in_the_metrics(stack: Stack, line: Line) -> None:
    """Those of all processes, told by the api, which runs beside them."""

    def count() -> float:
        text = plain_http.get(f"{stack.url}/metrics", timeout=30).text
        series = 'packets_answers_total{format="VALIDATE",result="failure"} '
        return next((float(row.split()[-1]) for row in text.splitlines() if series in row), 0.0)

    before = count()
    for _ in range(3):
        with Line(stack.packets_port) as other:
            assert refused(other.ask("VALIDATE", Token="x"), "User.Token: ")
    wait_until(lambda: count() >= before + 3, timeout_s=60, what="three more are counted")


def test_a_taken_port_is_said_in_a_line(stack: Stack) -> None:
    done = stack.manage("serve_packets")
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"CommandError: port {stack.packets_port} cannot be used: ")
    with Line(stack.packets_port) as line:
        assert not line.ask("VALIDATE", Token="x")["Success"], "the first ones did not notice"
