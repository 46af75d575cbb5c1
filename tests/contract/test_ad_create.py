"""`POST /api/v1/ad` through both of its doors: on the fast path, and in Django."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.conftest import wait_visible
from tests.contract.test_login import is_hot, told
from tests.support import plain_http
from tests.support.stack import Stack

pytestmark = pytest.mark.xdist_group("contract")

CREATE = "/api/v1/ad"
# A query makes the request unusual, and Django answers.
COLD = f"{CREATE}?cold"
JSON = {"content-type": "application/json"}
AD = {
    "title": "Two doors \"'👩‍🚀",
    "content": "",
    "start_at": "2026-01-01 08:00:00 +0800 CST",
    "end_at": "2126-01-01T00:00:00Z",
    "country": ["JP"],
}
NAMES = st.sampled_from(
    [*AD, "id", "version", "age_start", "gender", "colour", "", "Title", "\ud800"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
# Always without a title.
OBJECTS = st.dictionaries(NAMES, VALUES).map(lambda each: {**AD, **each, "title": 5})
TWICE = st.sampled_from([b'{"title":"a","title":"b"}', b'{"a":1,"content":"b","a":2}'])
NO_JSON = st.binary(max_size=40) | st.text('[]{}:,"1-.eENa \n', max_size=30).map(str.encode)
BODIES = OBJECTS.map(lambda each: json.dumps(each).encode()) | TWICE | NO_JSON


def both(client: httpx.Client, body: object, **headers: str) -> list[httpx.Response]:
    """What the fast path and Django answer to the same request."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    answers = [client.post(path, content=content, headers=given) for path in (CREATE, COLD)]
    assert [is_hot(answer) for answer in answers] == [True, False]
    return answers


def test_an_ad_through_both_doors(stack: Stack, operator: httpx.Client) -> None:
    answers = both(operator, AD)
    ads: list[dict[str, Any]] = []
    for answer in answers:
        assert answer.status_code == 201
        body = answer.json()
        assert list(body) == ["msg", "data"]
        assert body["msg"] == "Ad created"
        ads.append(operator.get(f"/api/v1/ads/{body['data']}/").json())
        wait_visible(stack, answer)
        [entry] = operator.get(f"/api/v1/ads/{body['data']}/history/").json()["results"]
        assert entry["actor"] == stack.operator["username"]
        assert entry["version"] == int(answer.headers["x-catalog-version"])
    assert answers[0].headers["content-type"] == answers[1].headers["content-type"]
    decided = [{name: ad[name] for name in AD} for ad in ads]
    assert decided[0] == decided[1]
    for ad in ads:
        operator.delete(f"/api/v1/ads/{ad['id']}/")


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(body=BODIES)
def test_bodies_that_are_no_ad_are_told_the_same(operator: httpx.Client, body: bytes) -> None:
    hot, cold = both(operator, body)
    assert told(hot) == told(cold)
    assert hot.status_code == 400


def test_nobodys_token_through_both_doors(stack: Stack) -> None:
    with plain_http.Client(base_url=stack.url, timeout=30) as client:
        # Who it is comes before what is in the body.
        for body in (AD, b"{"):
            hot, cold = both(client, body, authorization="Token 0123456789")
            assert told(hot) == told(cold)
            assert hot.status_code == 401
            assert hot.headers["www-authenticate"] == "Token"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": "Token"}, 401),
        ({"authorization": "Token a b"}, 401),
        ({"authorization": "Basic b2xnYTpzZWNyZXQ="}, 401),
        ({"authorization": "Bearer 0123456789"}, 401),
        ({"content-type": "text/plain"}, 415),
        ({"host": "elsewhere.example"}, 400),
        ({"cookie": "sessionid=x"}, 400),
        ({"accept": "text/html"}, 400),
    ],
)
def test_what_only_django_decides_is_left_to_it(operator: httpx.Client, headers, status) -> None:
    answer = operator.post(CREATE, content=b"{}", headers={**JSON, **headers})
    assert answer.status_code == status
    assert answer.json()["msg"]
    assert not is_hot(answer)


def test_a_body_that_is_long_is_left_to_django(operator: httpx.Client) -> None:
    body = json.dumps(AD | {"title": "", "content": "x" * 140_000})
    answer = operator.post(CREATE, content=body, headers=JSON)
    assert answer.status_code == 400
    assert not is_hot(answer)
