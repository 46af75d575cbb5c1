"""`/api/v1/ads/{id}/` is written through both of its doors: on the fast path, and in Django."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.conftest import wait_visible
from tests.contract.test_ad_create import AD, JSON, NAMES, NO_JSON, TWICE, VALUES
from tests.contract.test_login import is_hot, told
from tests.support.stack import Stack

pytestmark = pytest.mark.xdist_group("contract")

NO_AD = "0190a1b2-c3d4-7e5f-8a6b-0123456789ab"
# What the server decides, or when it was asked.
OWN = ("version", "updated_at")
# Without what an ad may be changed to.
WRONG = st.dictionaries(NAMES, VALUES).map(lambda each: {**each, "age_start": "5"})
BODIES = (
    WRONG.map(lambda each: json.dumps(each).encode())
    | TWICE
    | NO_JSON.filter(
        # For `PATCH` that is a change of nothing.
        lambda each: each and b"".join(each.split()) != b"{}"
    )
)


@pytest.fixture
def path(operator: httpx.Client):
    created = operator.post("/api/v1/ads/", json=AD)
    path = f"/api/v1/ads/{created.json()['id']}/"
    yield path
    operator.delete(path)


def both(
    client: httpx.Client, method: str, path: str, body: object, **headers: str
) -> list[httpx.Response]:
    """What the fast path and Django answer to the same request."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    answers = [
        client.request(method, f"{path}{query}", content=content, headers=sent)
        for query in ("", "?cold")
    ]
    assert [is_hot(answer) for answer in answers] == [True, False]
    return answers


def shown(answer: httpx.Response) -> list[tuple[str, Any]]:
    """The ad as it is answered, names in order, but for what differs from write to write."""
    assert answer.status_code == 200
    return [(name, value) for name, value in answer.json().items() if name not in OWN]


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("PUT", {**AD, "title": "\u2028<&> \"\\/' 👩‍🚀", "content": "\x01\t\x7f\u0085"}),
        ("PUT", {**AD, "start_at": "2026-01-01T00:00:00.5Z", "gender": ["F", "M"], "age_end": 0}),
        ("PATCH", {"title": "Changed through both"}),
        ("PATCH", {"age_end": 30, "platform": ["web"], "version": 7, "state": "x"}),
        ("PATCH", {}),
    ],
)
def test_a_change_through_both_doors(stack: Stack, operator, path, method, change) -> None:
    hot, cold = both(operator, method, path, change)
    assert shown(hot) == shown(cold) == shown(operator.get(path))
    assert hot.headers["content-type"] == cold.headers["content-type"]
    versions = [int(answer.headers["x-catalog-version"]) for answer in (hot, cold)]
    assert versions == [answer.json()["version"] for answer in (hot, cold)]
    wait_visible(stack, cold)
    entries = operator.get(f"{path}history/").json()["results"][:2]
    assert [entry["version"] for entry in entries] == versions[::-1]
    assert {entry["actor"] for entry in entries} == {stack.operator["username"]}


@pytest.mark.parametrize("headers", [{}, {"content-length": "0"}])
def test_a_deletion_on_the_fast_path(stack: Stack, operator, path, headers) -> None:
    answer = operator.delete(path, headers=headers)
    assert is_hot(answer)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers
    wait_visible(stack, answer)
    again = operator.delete(path, headers=headers)
    assert (again.status_code, is_hot(again)) == (404, True)
    assert told(again) == told(operator.delete(f"{path}?cold"))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(method=st.sampled_from(["PUT", "PATCH"]), body=BODIES)
def test_bodies_that_change_nothing_are_told_the_same(operator, path, method, body) -> None:
    hot, cold = both(operator, method, path, body)
    assert told(hot) == told(cold)
    assert hot.status_code == 400


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("ad_id", [NO_AD, NO_AD.upper(), "x", "import"])
def test_an_ad_that_is_not_there(operator, method, ad_id) -> None:
    answers = [
        operator.request(
            method, f"/api/v1/ads/{ad_id}/{query}", content=b"{}" if method == "PATCH" else None
        )
        for query in ("", "?cold")
    ]
    assert told(answers[0]) == told(answers[1])


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer 0123456789"}, 401),
        ({"content-type": "text/plain"}, 415),
        ({"host": "elsewhere.example"}, 400),
        ({"cookie": "sessionid=x"}, 400),
    ],
)
def test_what_only_django_decides_is_left_to_it(operator, path, method, headers, status) -> None:
    answer = operator.request(
        method, path, content=b'{"age_end": 101}', headers={**JSON, **headers}
    )
    # With a body, a deletion is Django's as well.
    assert answer.status_code in ((status, 204) if method == "DELETE" else (status,))
    assert not is_hot(answer)
