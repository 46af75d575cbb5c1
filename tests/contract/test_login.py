"""`POST /api/v1/users/login` through both of its doors: on the fast path, and in Django."""

import json
import uuid
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import plain_http
from tests.support.stack import Stack

pytestmark = pytest.mark.xdist_group("contract")

LOGIN = "/api/v1/users/login"
# A query makes the request unusual, and Django answers.
COLD = f"{LOGIN}?cold"
JSON = {"content-type": "application/json"}
PASSWORD = "correct horse"
# Its failures lock no account: the address may have 500.
NOBODY = "no\u0007body"
TEXTS = st.text(max_size=20) | st.sampled_from(["\ud800", "\x00", '"', "\\", NOBODY])
NO_TEXTS = st.none() | st.booleans() | st.integers() | st.floats() | st.lists(st.integers())
FIELDS = st.sampled_from(["username", "password", "device", "", "Username"])


def is_no_login(body: dict[str, Any]) -> bool:
    """Not a name and a password: nothing is hashed."""
    return not (isinstance(body.get("username"), str) and isinstance(body.get("password"), str))


OBJECTS = st.dictionaries(FIELDS, TEXTS | NO_TEXTS).filter(is_no_login)
TWICE = st.sampled_from([b'{"username":"a","username":"a"}', b'{"a":1,"username":"b","a":2}'])
NO_JSON = st.binary(max_size=40) | st.text('[]{}:,"1-.eENa \n', max_size=30).map(str.encode)
BODIES = OBJECTS.map(lambda each: json.dumps(each).encode()) | TWICE | NO_JSON


@pytest.fixture(scope="module")
def http(stack: Stack):
    with plain_http.Client(base_url=stack.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def ann(http: httpx.Client) -> str:
    name = f"u{uuid.uuid4().hex[:20]}"
    body = {"username": name, "password": PASSWORD, "nickname": "Ännie \"'👩‍🚀"}
    assert http.post("/api/v1/users/register", json=body).status_code == 201
    return name


def is_hot(answer: httpx.Response) -> bool:
    """Django says more about its answers."""
    return "x-content-type-options" not in answer.headers


def told(answer: httpx.Response) -> tuple[int, bytes, str, str | None]:
    headers = answer.headers
    return (
        answer.status_code,
        answer.content,
        headers["content-type"],
        headers.get("www-authenticate"),
    )


def test_a_login_through_both_doors(http, ann):
    body = json.dumps({"username": ann.upper(), "password": PASSWORD})
    hot, cold = (http.post(path, content=body, headers=JSON) for path in (LOGIN, COLD))
    assert is_hot(hot)
    assert not is_hot(cold)
    tokens = [answer.json()["token"] for answer in (hot, cold)]
    assert len(set(tokens)) == 2
    hidden = [
        answer.content.replace(token.encode(), b"")
        for answer, token in zip((hot, cold), tokens, strict=True)
    ]
    assert hidden[0] == hidden[1]
    assert hot.headers["content-type"] == cold.headers["content-type"]
    listed = http.get(
        "/api/v1/users/me/sessions/", headers={"authorization": f"Bearer {tokens[0]}"}
    ).json()
    assert len({(each["device"], each["address"]) for each in listed}) == 1


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(body=BODIES)
def test_bodies_that_are_no_login_are_told_the_same(http, body):
    hot, cold = (http.post(path, content=body, headers=JSON) for path in (LOGIN, COLD))
    assert told(hot) == told(cold)
    assert hot.status_code == 400
    assert is_hot(hot)
    assert not is_hot(cold)


@pytest.mark.parametrize(
    "body",
    [
        {"username": NOBODY, "password": PASSWORD},
        {"username": "", "password": ""},
        {"username": "\ud800", "password": "\ud800"},
        {"username": "x" * 1_000, "password": "x" * 5_000},
        {"username": NOBODY, "password": PASSWORD, "more": [1, {"a": None}]},
    ],
)
def test_a_refusal_through_both_doors(http, body):
    content = json.dumps(body)
    hot, cold = (http.post(path, content=content, headers=JSON) for path in (LOGIN, COLD))
    assert told(hot) == told(cold)
    assert hot.status_code == 401
    assert is_hot(hot)


def test_a_locked_account_through_both_doors(http):
    name = f"u{uuid.uuid4().hex[:20]}"
    content = json.dumps({"username": name, "password": "wrong"})
    for number in range(10):
        path = (LOGIN, COLD)[number % 2]
        assert http.post(path, content=content, headers=JSON).status_code == 401
    for path in (LOGIN, COLD):
        answer = http.post(path, content=content, headers=JSON)
        assert answer.status_code == 429
        wait_s = int(answer.headers["retry-after"])
        assert 1 <= wait_s <= 60
        assert answer.json() == {"msg": f"login: too many failures, try again in {wait_s} s"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({**JSON, "accept": "text/html"}, 406),
        ({**JSON, "host": "elsewhere.example"}, 400),
    ],
)
def test_what_only_django_decides_is_left_to_it(http, headers, status):
    content = json.dumps({"username": NOBODY, "password": PASSWORD})
    answer = http.post(LOGIN, content=content, headers=headers)
    assert answer.status_code == status
    assert answer.json()["msg"]
    assert not is_hot(answer)


def test_without_a_type_it_is_json_and_what_is_long_is_left_to_django(http):
    body = {"username": NOBODY, "password": PASSWORD}
    short = http.post(LOGIN, content=json.dumps(body))
    long = http.post(LOGIN, content=json.dumps(body | {"more": "x" * 9_000}))
    assert (short.status_code, short.content) == (long.status_code, long.content)
    assert short.status_code == 401
    assert is_hot(short)
    assert not is_hot(long)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_other_methods_are_djangos(http, method):
    answer = http.request(method, LOGIN)
    assert answer.status_code == (200 if method == "OPTIONS" else 405)
    assert not is_hot(answer)
