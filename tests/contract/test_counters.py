"""The counters over HTTP, every rule of them, through the fast path and through Django."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from counters.records import BATCH_MAX, VALUE_MAX
from tests.support import plain_http
from tests.support.stack import Stack, wait_until

pytestmark = pytest.mark.xdist_group("contract")

# What the product promises; it aims at two seconds.
BEHIND_MOST_S = 10.0
KEY = "7d6b1f2e-5f0c-4c0e-9d3a-0f3f1a6f6a11"
# An escape in the path is unusual enough for Django to answer.
PATHS = {
    "hot": ("/increment", "/increment/batch"),
    "django": ("/%69ncrement", "/%69ncrement/batch"),
}


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[httpx.Client]:
    with plain_http.Client(base_url=stack.url, timeout=30) as one:
        yield one


@pytest.fixture(params=PATHS)
def door(request: pytest.FixtureRequest) -> tuple[str, str]:
    return PATHS[request.param]


def new_key() -> str:
    return str(uuid4())


def one(key: str, value: Any = 1) -> dict[str, Any]:
    return {"key": key, "value": value}


def send(client: httpx.Client, path: str, content: Any, **headers: str) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return client.post(path, content=body, headers=headers)


def accept(client: httpx.Client, path: str, content: Any, **headers: str) -> Any:
    answer = send(client, path, content, **headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def totals(client: httpx.Client, *keys: str) -> list[int]:
    answer = client.get("/counters", params={"key": keys})
    assert answer.status_code == 200, answer.text
    found = answer.json()["counters"]
    assert [each["key"] for each in found] == list(keys)
    return [each["value"] for each in found]


def counted(client: httpx.Client, expected: dict[str, int]) -> None:
    """Wait until the totals are these; they must never be more."""

    def reached() -> bool:
        found = dict(zip(expected, totals(client, *expected), strict=True))
        assert all(found[key] <= expected[key] for key in expected), found
        return found == expected

    wait_until(reached, timeout_s=BEHIND_MOST_S, what="all counted")


def nothing_more(client: httpx.Client, expected: dict[str, int]) -> None:
    """Everything sent before this is counted, and the totals are just these."""
    marker = new_key()
    accept(client, "/increment", one(marker))
    counted(client, {marker: 1})
    assert totals(client, *expected) == list(expected.values())


def test_increments_are_counted_once(client):
    first, second, doors = new_key(), new_key(), len(PATHS)
    for path, batch in PATHS.values():
        for value in (1, 2, 3):
            assert accept(client, path, one(first, value)) == {}
        many = [one(first, 10), one(second, 5), one(first, 20)]
        assert accept(client, batch, many) == {"accepted": 3}
    counted(client, {first: 36 * doors, second: 5 * doors})


def test_the_smallest_and_the_largest_value(client):
    expected = {}
    for path, _ in PATHS.values():
        for value in (1, VALUE_MAX):
            expected[key := new_key()] = value
            accept(client, path, one(key, value))
    counted(client, expected)


def test_neither_form_of_the_key_nor_headers_matter(client):
    key = new_key()
    kinds = ("text/plain", "application/x-www-form-urlencoded", "nonsense")
    for path, _ in PATHS.values():
        for form in (key, key.upper(), UUID(key).hex):
            accept(client, path, one(form))
        for kind in kinds:
            accept(client, path, one(key), **{"content-type": kind})
        for value in ("Token nonsense", "Bearer nonsense"):
            accept(client, path, one(key), authorization=value)
    counted(client, {key: 8 * len(PATHS)})
    for form in (key.upper(), UUID(key).hex):
        assert client.get(f"/counters/{form}").json()["key"] == key


# What no value can be.
VALUES: list[Any] = [0, -1, VALUE_MAX + 1, 10**40, 1.5, "1", None, True, [1], {}]
KEYS: list[Any] = ["", "x", KEY[:-1], KEY + "0", f"{{{KEY}}}", 1, None, [KEY]]
MISTAKES: list[tuple[Any, str | None]] = [
    (b"", "body: is not valid JSON"),
    (b"{", "body: is not valid JSON"),
    (b"\xff", "body: is not valid JSON"),
    (b"nonsense", "body: is not valid JSON"),
    (b"[]", "body: must be an object with key and value"),
    (b"null", "body: must be an object with key and value"),
    (b"1", "body: must be an object with key and value"),
    ({}, "key: is required"),
    ({"value": 1}, "key: is required"),
    ({"key": KEY}, "value: is required"),
    ({"key": KEY, "value": 1, "colour": "red"}, "colour: is not a field"),
    *[({"key": key, "value": 1}, "key: must be a UUID") for key in KEYS],
    *[
        ({"key": KEY, "value": value}, f"value: must be an integer from 1 to {VALUE_MAX}")
        for value in VALUES
    ],
    (f'{{"key": "{KEY}", "value": 1e400}}'.encode(), None),
    (f'{{"key": "{KEY}", "value": NaN}}'.encode(), "body: is not valid JSON"),
]


@pytest.mark.parametrize(("body", "msg"), MISTAKES)
def test_each_mistake_is_named(client, body, msg):
    answers = [send(client, path, body) for path, _ in PATHS.values()]
    assert [answer.status_code for answer in answers] == [400, 400], answers[0].text
    assert answers[0].content == answers[1].content
    if msg is not None:
        assert answers[0].json() == {"msg": msg}
    assert list(answers[0].json()) == ["msg"]


@pytest.mark.parametrize(
    ("body", "msg"),
    [
        (b"", "body: is not valid JSON"),
        (b"[", "body: is not valid JSON"),
        ({}, "body: must be an array of increments"),
        (one(KEY), "body: must be an array of increments"),
        ([1], "[0]: must be an object with key and value"),
        ([one(KEY), []], "[1]: must be an object with key and value"),
        ([one(KEY)] * 3 + [one(KEY, 0)], f"[3].value: must be an integer from 1 to {VALUE_MAX}"),
        ([one("x"), one(KEY, 0)], "[0].key: must be a UUID"),
        ([one(KEY), {"key": KEY}], "[1].value: is required"),
        ([one(KEY), {**one(KEY), "a": 1}], "[1].a: is not a field"),
    ],
)
def test_the_first_mistake_in_a_batch_is_named(client, door, body, msg):
    answer = send(client, door[1], body)
    assert (answer.status_code, answer.json()) == (400, {"msg": msg})


def test_batches_that_are_refused_count_nothing(client):
    key, most = new_key(), [one(new_key())] * BATCH_MAX
    for _, batch in PATHS.values():
        assert send(client, batch, [one(key), one(key), one("x")]).status_code == 400
        answer = send(client, batch, [one(key), *most])
        assert answer.status_code == 400
        assert answer.json()["msg"].startswith("body: has 10001 increments")
        assert accept(client, batch, most) == {"accepted": BATCH_MAX}
    nothing_more(client, {key: 0, most[0]["key"]: BATCH_MAX * len(PATHS)})


def test_an_empty_batch(client, door):
    assert accept(client, door[1], []) == {"accepted": 0}


def test_a_body_beyond_all_sense_is_too_large(client, door):
    for path in door:
        answer = send(client, path, b" " * (5 * 2**20))
        assert answer.status_code == 413
        assert answer.json()["msg"].startswith("body: is larger than")


@pytest.mark.parametrize("path", ["/increment", "/increment/batch"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD"])
def test_other_methods(client, path, method):
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]
    if method != "HEAD":
        assert answer.json() == {"msg": f"method: {method} is not possible here"}


def test_a_body_in_chunks(client):
    key = new_key()
    body = json.dumps(one(key, 7)).encode()
    answer = client.post("/increment", content=iter([body[:9], body[9:]]))
    assert (answer.status_code, answer.json()) == (200, {})
    counted(client, {key: 7})


def test_an_idempotency_key_counts_once(client):
    key, header = new_key(), {"idempotency-key": uuid4().hex}
    for path, batch in PATHS.values():
        assert accept(client, path, one(key, 3), **header) == {}
        assert accept(client, path, one(key, 3), **header) == {}
        assert accept(client, batch, [one(key, 100)] * 2, **header) == {"accepted": 2}
    accept(client, "/increment", one(key, 1000), **{"idempotency-key": uuid4().hex})
    # Long after it was counted, too.
    counted(client, {key: 1003})
    accept(client, "/increment", one(key, 3), **header)
    nothing_more(client, {key: 1003})


def test_a_batch_under_a_key_counts_as_a_whole_once(client):
    first, second, header = new_key(), new_key(), {"idempotency-key": f"batch {uuid4().hex}"}
    for _, batch in [*PATHS.values()] * 2:
        accept(client, batch, [one(first), one(second, 2), one(first)], **header)
    nothing_more(client, {first: 2, second: 2})


@pytest.mark.parametrize("value", ["x", "x" * 64, "a b/c:d"])
def test_what_is_an_idempotency_key(client, door, value):
    accept(client, door[0], one(new_key()), **{"idempotency-key": value})


def test_what_is_none(client):
    key = new_key()
    for value in ("", "x" * 65, b"\xff"):
        for path, batch in PATHS.values():
            for target, body in ((path, one(key)), (batch, [one(key)])):
                content, headers = json.dumps(body).encode(), {"Idempotency-Key": value}
                answer = client.post(target, content=content, headers=headers)
                assert answer.status_code == 400
                msg = "Idempotency-Key: must have 1 to 64 printable characters"
                assert answer.json() == {"msg": msg}
    nothing_more(client, {key: 0})


@pytest.mark.parametrize("chunked", [False, True])
def test_a_key_is_given_once(client, chunked):
    key = new_key()
    for path, batch in PATHS.values():
        for target, body in ((path, one(key)), (batch, [one(key)])):
            content = json.dumps(body).encode()
            answer = client.post(
                target,
                content=iter([content]) if chunked else content,
                headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")],
            )
            assert answer.status_code == 400
            assert answer.json() == {"msg": "Idempotency-Key: must not be given twice"}
    nothing_more(client, {key: 0})


def test_a_sum_that_would_be_too_large_blocks_nobody(client):
    full, other = new_key(), new_key()
    accept(client, "/increment/batch", [one(full, VALUE_MAX), one(other)])
    counted(client, {full: VALUE_MAX, other: 1})
    accept(client, "/increment/batch", [one(full, 5), one(other), one(full, VALUE_MAX)])
    counted(client, {full: VALUE_MAX, other: 2})


def test_a_total_says_how_far_it_goes(client):
    key = new_key()
    before = datetime.now(UTC)
    accept(client, "/increment", one(key, 5))
    counted(client, {key: 5})
    answer = client.get(f"/counters/{key}")
    assert answer.status_code == 200
    total = answer.json()
    assert list(total) == ["key", "value", "as_of"]
    assert (total["key"], total["value"]) == (key, 5)
    # Django's own door, in the same form.
    plain = client.get(f"/%63ounters/{key}").json()
    assert (list(plain), plain["key"], plain["value"]) == (list(total), key, 5)
    as_of = datetime.fromisoformat(total["as_of"])
    assert as_of.tzinfo is not None
    assert before - timedelta(seconds=1) <= as_of <= datetime.now(UTC)


def test_an_unknown_counter_is_at_zero(client):
    key = new_key()
    total = client.get(f"/counters/{key}").json()
    assert (total["key"], total["value"]) == (key, 0)


def test_many_totals_come_in_the_order_asked_for(client):
    keys = [new_key() for _ in range(3)]
    accept(client, "/increment/batch", [one(key, n + 1) for n, key in enumerate(keys)])
    counted(client, {key: n + 1 for n, key in enumerate(keys)})
    asked = [keys[2], keys[0], new_key(), keys[2]]
    assert totals(client, *asked) == [3, 1, 0, 3]
    # The other door, in the same form.
    plain = client.get("/%63ounters", params={"key": asked}).json()["counters"]
    hot = client.get("/counters", params={"key": asked}).json()["counters"]
    without_time = [[(each["key"], each["value"]) for each in found] for found in (hot, plain)]
    assert without_time[0] == without_time[1]
    lengths = {len(each["as_of"]) for each in hot + plain}
    assert lengths <= {len("2026-01-01T00:00:00.000000Z"), len("2026-01-01T00:00:00Z")}


def test_a_thousand_totals_and_one_more(client):
    keys = [new_key() for _ in range(1000)]
    assert totals(client, *keys) == [0] * 1000
    answer = client.get("/counters", params={"key": [*keys, keys[0]]})
    assert (answer.status_code, answer.json()) == (
        400,
        {"msg": "key: is given 1001 times, 1000 are the most"},
    )


@pytest.mark.parametrize(
    ("path", "msg"),
    [
        ("/counters", "key: is required, once for each counter"),
        ("/%63ounters", "key: is required, once for each counter"),
        ("/%63ounters?key=x", "key: must be a UUID"),
        ("/counters?key=", "key: must be a UUID"),
        (f"/counters?key={KEY}&key=x", "key[1]: must be a UUID"),
        ("/counters/x", "key: must be a UUID"),
        (f"/counters/{KEY}0", "key: must be a UUID"),
        ("/counters/%00", "key: must be a UUID"),
        ("/counters/x/history", "key: must be a UUID"),
        (f"/counters/{KEY}/history?granularity=week", "granularity: must be minute, hour or day"),
        (f"/counters/{KEY}/history?start=2100-01-01T00:00:00Z", "start: must be earlier than end"),
        (
            f"/counters/{KEY}/history?end=yesterday",
            "end: must be a time with its zone, such as 2026-01-31T08:00:00Z"
            " (a plus sign is written %2B)",
        ),
        (
            f"/counters/{KEY}/history?granularity=minute&start=2020-01-01T00:00:00Z",
            "start: is more than 10000 minutes earlier than end",
        ),
    ],
)
def test_mistakes_in_questions_are_named(client, path, msg):
    answer = client.get(path)
    assert (answer.status_code, answer.json()) == (400, {"msg": msg})


@pytest.mark.parametrize("path", ["/counters", f"/counters/{KEY}", f"/counters/{KEY}/history"])
def test_questions_only_read(client, path):
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = client.request(method, path, json={})
        assert answer.status_code == 405
        assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    "path", ["/counters/", "/increment/", "/increment/batch/", "/counters/a/b"]
)
def test_there_is_nothing_else(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json() == {"msg": "path: there is nothing here"}


def test_history_adds_up_to_the_total(client):
    key = new_key()
    accept(client, "/increment", one(key, 4))
    accept(client, "/increment", one(key, 6))
    counted(client, {key: 10})
    for granularity in ("minute", "hour", "day"):
        answer = client.get(f"/counters/{key}/history?granularity={granularity}")
        assert answer.status_code == 200
        history = answer.json()
        assert list(history) == ["key", "granularity", "start", "end", "buckets"]
        assert (history["key"], history["granularity"]) == (key, granularity)
        starts = [datetime.fromisoformat(bucket["start"]) for bucket in history["buckets"]]
        steps = {later - earlier for earlier, later in pairwise(starts)}
        assert steps == {timedelta(**{f"{granularity}s": 1})}
        assert starts[0] == datetime.fromisoformat(history["start"])
        assert starts[-1] + steps.pop() == datetime.fromisoformat(history["end"])
        values = [bucket["value"] for bucket in history["buckets"]]
        # Both, unless the clock struck between them.
        assert sum(values[-3:]) == sum(values) == 10


def test_history_of_a_counter_that_nobody_knows(client):
    history = client.get(f"/counters/{new_key()}/history").json()
    assert {bucket["value"] for bucket in history["buckets"]} == {0}
    assert len(history["buckets"]) == 49
