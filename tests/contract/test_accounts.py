"""The accounts' part of the contract, over HTTP, on the running product."""

import json
import uuid
from collections.abc import Callable
from http.client import HTTPConnection
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.support import plain_http
from tests.support.stack import Stack, wait_until

pytestmark = pytest.mark.xdist_group("contract")

PASSWORD = "correct horse"
ME = "/api/v1/users/me"
SEEN_TIMEOUT_S = 20.0


@pytest.fixture(scope="module")
def http(stack: Stack):
    with plain_http.Client(base_url=stack.url, timeout=30) as client:
        yield client


def new_name() -> str:
    return f"u{uuid.uuid4().hex[:20]}"


def post(http: httpx.Client, path: str, token: str = "", **body: Any) -> httpx.Response:
    return http.post(f"/api/v1/users/{path}", json=body, headers=bearer(token) if token else {})


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


class Someone:
    """A registered user with a session."""

    def __init__(self, http: httpx.Client, nickname: str = "Annie") -> None:
        self.http = http
        self.username = new_name()
        made = post(http, "register", username=self.username, password=PASSWORD, nickname=nickname)
        assert made.status_code == 201, made.text
        self.token = self.login()

    def login(self, password: str = PASSWORD) -> str:
        answer = post(self.http, "login", username=self.username, password=password)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["token"]
        return token

    def ask(self, method: str, path: str = "", token: str = "", **given: Any) -> httpx.Response:
        return self.http.request(
            method, f"{ME}{path}", headers=bearer(token or self.token), **given
        )

    def status(self, token: str) -> int:
        return self.ask("GET", token=token).status_code


@pytest.fixture
def ann(http: httpx.Client) -> Someone:
    return Someone(http)


def everywhere(stack: Stack, condition: Callable[[int, Any], bool], token: str, what: str) -> None:
    """Wait until what `me` answers fulfils the condition on every worker: on each of many new
    connections in a row.
    """

    def holds() -> bool:
        return all(condition(*_asked_anew(stack, token)) for _ in range(16))

    wait_until(holds, timeout_s=SEEN_TIMEOUT_S, what=what)


def _asked_anew(stack: Stack, token: str) -> tuple[int, Any]:
    # httpx takes 50 ms to make a client.
    connection = HTTPConnection("127.0.0.1", stack.port, timeout=30)
    try:
        connection.request("GET", ME, headers=bearer(token))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_register_login_me_logout(http, ann):
    answer = post(http, "login", username=ann.username.upper(), password=PASSWORD)
    user = {"username": ann.username, "nickname": "Annie", "image": ""}
    assert answer.json()["user"] == user
    assert answer.json()["token"] != ann.token
    assert ann.ask("GET").json() == user
    assert post(http, "logout", ann.token).status_code == 204
    assert ann.status(ann.token) == 401
    assert ann.status(answer.json()["token"]) == 200


def test_register_gives_the_user_and_needs_no_nickname(http):
    name = new_name()
    made = post(http, "register", username=name, password=PASSWORD)
    assert (made.status_code, made.json()) == (
        201,
        {"username": name, "nickname": "", "image": ""},
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"username": ""}, "username"),
        ({"username": "x" * 31}, "username"),
        ({"username": "a\u0000b"}, "username"),
        ({"username": "a\u0007b"}, "username"),
        ({"username": 5}, "username"),
        ({"username": None}, "username"),
        ({"username": "\ud800"}, "username"),
        ({"password": "1234567"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"password": None}, "password"),
        ({"nickname": "x" * 31}, "nickname"),
        ({"nickname": "a\nb"}, "nickname"),
        ({"nickname": []}, "nickname"),
    ],
)
def test_what_register_refuses(http, change, field):
    body = {"username": new_name(), "password": PASSWORD, "nickname": "n", **change}
    content = json.dumps(body)
    answer = http.post(
        "/api/v1/users/register", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["msg"].startswith(f"{field}: ")


@pytest.mark.parametrize("path", ["register", "login"])
@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b'"x"', b"\xff", b"{}"])
def test_bodies_that_are_no_object(http, path, body):
    answer = http.post(
        f"/api/v1/users/{path}", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["msg"]


def test_a_name_is_taken_whatever_its_case_and_form(http):
    name = "Ｎ" + new_name()
    made = post(http, "register", username=name, password=PASSWORD)
    assert made.status_code == 201
    assert made.json()["username"] == "N" + name[1:]
    for taken in (name, name.upper(), made.json()["username"].lower()):
        answer = post(http, "register", username=taken, password=PASSWORD)
        assert answer.status_code == 409
        assert answer.json()["msg"].startswith("username: ")


def test_an_unknown_user_and_a_wrong_password_are_told_the_same(http, ann):
    wrong = post(http, "login", username=ann.username, password="wrong horse")
    unknown = post(http, "login", username=new_name(), password="wrong horse")
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.content == unknown.content


def test_ten_failures_lock_the_account_for_the_right_password_too(http, ann):
    for _ in range(10):
        assert post(http, "login", username=ann.username, password="wrong").status_code == 401
    for username in (ann.username, ann.username.upper()):
        answer = post(http, "login", username=username, password=PASSWORD)
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    # Whoever is logged in stays so.
    assert ann.status(ann.token) == 200


@pytest.mark.parametrize(("filler_bytes", "status"), [(50_000, 400), (70_000, 413)])
def test_a_body_longer_than_any_account_needs_is_not_read(http, filler_bytes, status):
    body = {"username": "x" * filler_bytes, "password": PASSWORD}
    for path in ("register", "login"):
        # Of a login, nobody says that there is no such name.
        expected = 401 if (path, status) == ("login", 400) else status
        answer = post(http, path, **body)
        assert (answer.status_code, bool(answer.json()["msg"])) == (expected, True)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer " + "x" * 43},
        {"authorization": "Basic eDp5"},
        {"authorization": "Bearer \xff".encode("latin-1")},
    ],
)
def test_without_a_valid_session_everything_is_401(http, headers):
    seen = set()
    # The fast path answers the first, Django the second.
    for method, path in [
        ("GET", ME),
        ("HEAD", ME),
        ("PATCH", ME),
        ("PUT", f"{ME}/image"),
        ("GET", f"{ME}/sessions/"),
        ("DELETE", f"{ME}/sessions/{uuid.uuid4()}/"),
        ("POST", "/api/v1/users/logout"),
        ("POST", "/api/v1/users/password"),
    ]:
        answer = http.request(method, path, headers=headers)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"] == "Bearer"
        seen.add(answer.content)
    assert seen - {b""} == {answer.content}


def test_an_operators_token_is_no_session(stack, http):
    for scheme in ("Token", "Bearer"):
        answer = http.get(ME, headers={"authorization": f"{scheme} {stack.operator['token']}"})
        assert answer.status_code == 401


def test_a_session_is_no_operators_token(http, ann):
    for scheme in ("Token", "Bearer"):
        answer = http.get("/api/v1/ads/", headers={"authorization": f"{scheme} {ann.token}"})
        assert answer.status_code == 401


def test_both_doors_to_me_answer_the_same(http, ann):
    hot = ann.ask("GET")
    # A body makes the request unusual, and Django answers.
    cold = http.request("GET", ME, headers=bearer(ann.token), content=b"{}")
    assert hot.content == cold.content
    assert hot.headers["content-type"] == cold.headers["content-type"]
    for scheme in ("bearer", "BEARER"):
        assert http.get(ME, headers={"authorization": f"{scheme}  {ann.token}"}).json()


def test_a_nickname_is_seen_by_every_worker(stack, ann):
    everywhere(stack, lambda _, me: me["nickname"] == "Annie", ann.token, "Annie")
    answer = ann.ask("PATCH", json={"nickname": " 安 👩‍🚀 "})
    assert answer.status_code == 200
    assert answer.json()["nickname"] == "安 👩‍🚀"
    everywhere(stack, lambda _, me: me["nickname"] == "安 👩‍🚀", ann.token, "the new nickname")
    assert ann.ask("PATCH", json={"nickname": "x" * 31}).status_code == 400
    assert ann.ask("PATCH", json={}).status_code == 400


def valid(status: int, _: Any) -> bool:
    return status == 200


def ended(status: int, _: Any) -> bool:
    return status == 401


def test_a_password_change_ends_all_other_sessions_everywhere(stack, http, ann):
    other = ann.login()
    everywhere(stack, valid, other, "the other session")
    wrong = post(http, "password", ann.token, old="wrong horse", new="another horse")
    assert wrong.status_code == 401
    short = post(http, "password", ann.token, old=PASSWORD, new="short")
    assert (short.status_code, short.json()["msg"][:5]) == (400, "new: ")
    done = post(http, "password", ann.token, old=PASSWORD, new="another horse")
    assert done.status_code == 204
    everywhere(stack, ended, other, "the end of the other session")
    assert ann.status(ann.token) == 200
    assert post(http, "login", username=ann.username, password=PASSWORD).status_code == 401
    assert ann.login("another horse")


def test_sessions_are_listed_and_ended_one_by_one(stack, http, ann):
    laptop = http.post(
        "/api/v1/users/login",
        json={"username": ann.username, "password": PASSWORD},
        headers={"user-agent": "Laptop/1.0"},
    ).json()["token"]
    listed = ann.ask("GET", "/sessions/").json()
    assert [each["current"] for each in listed] == [False, True]
    assert listed[0]["device"] == "Laptop/1.0"
    assert listed[0]["address"] == "127.0.0.1"
    everywhere(stack, valid, laptop, "the laptop")
    assert ann.ask("DELETE", f"/sessions/{listed[0]['id']}/").status_code == 204
    everywhere(stack, ended, laptop, "the laptop's end")
    assert ann.ask("DELETE", f"/sessions/{listed[0]['id']}/").status_code == 404
    assert [each["current"] for each in ann.ask("GET", "/sessions/").json()] == [True]


def test_nobody_ends_anothers_session(http, ann):
    bob = Someone(http)
    [session] = ann.ask("GET", "/sessions/").json()
    assert bob.ask("DELETE", f"/sessions/{session['id']}/").status_code == 404
    assert ann.status(ann.token) == 200


def test_a_picture_is_uploaded_and_served(http, ann):
    file = BytesIO()
    Image.new("RGB", (64, 32), "red").save(file, "PNG")
    answer = ann.ask("PUT", "/image", files={"image": ("me.png", file.getvalue(), "image/png")})
    assert answer.status_code == 200
    url = answer.json()["image"]
    picture = http.get(url)
    assert picture.headers["content-type"] == "image/webp"
    assert picture.headers["x-content-type-options"] == "nosniff"
    assert Image.open(BytesIO(picture.content)).size == (64, 32)
    again = ann.ask("PUT", "/image", files={"image": ("me.png", file.getvalue(), "image/png")})
    assert again.json()["image"] != url
    assert http.get(url).status_code == 404
    assert http.get(again.json()["image"]).status_code == 200


@pytest.mark.parametrize(
    "given",
    [
        {"files": {"image": ("me.png", b"<svg/>", "image/png")}},
        {"files": {"image": ("me.png", b"\x89PNG" + b"x" * 2**21, "image/png")}},
        {"files": {"picture": ("me.png", b"", "image/png")}},
        {"files": {"other": ("x", b"x")}, "data": {"image": "text"}},
        {"files": [("image", ("a.png", b"x")), ("image", ("b.png", b"x"))]},
    ],
)
def test_what_is_no_picture_is_refused(ann, given):
    answer = ann.ask("PUT", "/image", **given)
    assert answer.status_code == 400
    assert answer.json()["msg"].startswith("image: ")
    assert ann.ask("GET").json()["image"] == ""


def test_a_picture_comes_as_a_form(ann):
    assert ann.ask("PUT", "/image", json={"image": "x"}).status_code == 415
