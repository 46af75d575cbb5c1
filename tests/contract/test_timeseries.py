"""The time series over HTTP: every rule, every mistake, and hostile input."""

import json
import math
import socket
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from tests.support import plain_http
from tests.support.stack import Stack, wait_until
from tests.timeseries.reference import Reference, assert_same
from timeseries.messages import BATCH_MAX
from timeseries.records import AGGREGATES, Measurement, Query, Sample

pytestmark = pytest.mark.xdist_group("contract")

S_NS = 1_000_000_000
DAY_NS = 86_400 * S_NS
# Generous on purpose: how fast a message is seen is measured by the benchmarks.
SEEN_TIMEOUT_S = 20.0


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[httpx.Client]:
    with plain_http.Client(base_url=stack.url, timeout=30) as client:
        yield client


@pytest.fixture
def tag() -> str:
    """A tag that nobody has used."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def now_ns() -> int:
    return time.time_ns()


def message(tag: str, time_ns: int, *values: float) -> dict[str, Any]:
    return {"time": time_ns, "tag": tag, "values": list(values)}


def save(client: httpx.Client, *messages: dict[str, Any]) -> None:
    answer = client.post("/save/batch", json=list(messages))
    assert (answer.status_code, answer.json()) == (200, {"accepted": len(messages)})


def ask(client: httpx.Client, tag: str, start_ns: int, end_ns: int, **more: Any) -> httpx.Response:
    return client.get("/api", params={"tag": tag, "start": start_ns, "end": end_ns, **more})


def wait_count(client: httpx.Client, tag: str, count: int) -> None:
    """Wait until so many measurements of a tag are stored."""

    def stored() -> bool:
        tags = {each["tag"]: each["count"] for each in client.get("/api/tags").json()["tags"]}
        return bool(tags.get(tag, 0) >= count)

    wait_until(stored, timeout_s=SEEN_TIMEOUT_S, what=f"{count} measurements of {tag}")


def test_a_message_is_saved_and_seen(client, tag, now_ns):
    answer = client.post("/save", json=message(tag, now_ns, 1.5, -2))
    assert (answer.status_code, answer.content) == (200, b"{}")
    assert answer.headers["content-type"] == "application/json"
    wait_count(client, tag, 1)
    start_ns = now_ns - 600 * S_NS
    answer = ask(client, tag, start_ns, now_ns)
    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == ["tagName", "start", "end", "samples"]
    assert (body["tagName"], body["start"], body["end"]) == (tag, start_ns, now_ns)
    times = [start_ns + i * (now_ns - start_ns) // 1000 for i in range(1, 1001)]
    assert [sample["time"] for sample in body["samples"]] == times
    assert [sample["values"] for sample in body["samples"]] == [None] * 999 + [[1.5, -2.0]]


def test_the_last_before_the_interval_counts(client, tag, now_ns):
    """However long before: also when the interval itself holds nothing."""
    save(client, message(tag, now_ns - DAY_NS // 2, 7.25))
    wait_count(client, tag, 1)
    body = ask(client, tag, now_ns - S_NS, now_ns, samples=3).json()
    assert [sample["values"] for sample in body["samples"]] == [[7.25]] * 3
    body = ask(client, tag, now_ns - S_NS, now_ns, samples=3, agg="count").json()
    assert [sample["values"] for sample in body["samples"]] == [None] * 3


@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("samples", [1, 7, 1000])
def test_samples_are_those_of_the_reference(client, many, aggregate, samples):
    tag, start_ns, end_ns, reference = many
    query = Query(tag, start_ns, end_ns, samples, aggregate)
    answer = ask(client, tag, start_ns, end_ns, samples=samples, agg=aggregate)
    found = [Sample(each["time"], each["values"]) for each in answer.json()["samples"]]
    if aggregate == "lttb":
        rows = {tuple(row) for _, row in reference.rows(tag)}
        assert len(found) == samples
        assert all(each.values is None or tuple(each.values) in rows for each in found)
    else:
        assert_same(found, reference.sample(query))


@pytest.fixture(scope="module")
def many(client: httpx.Client) -> tuple[str, int, int, Reference]:
    """A tag with messages that came late, twice, and in no order, of different lengths."""
    tag, end_ns = f"t{uuid.uuid4().hex[:12]}", time.time_ns()
    start_ns = end_ns - 1000 * S_NS
    steps = [(n * 7919) % 500 for n in range(500)]
    sent = [
        Measurement(start_ns + step * 2 * S_NS, tag, [math.sin(step), step] + [0.5] * (step % 3))
        for step in steps
    ]
    again = [Measurement(each.time, tag, [-each.values[1]]) for each in sent[::5]]
    for part in (sent[:100], sent[100:], again, again[:10]):
        save(client, *(message(each.tag, each.time, *each.values) for each in part))
    reference = Reference([*sent, *again])
    last = max(each.time for each in sent)
    wait_count(client, tag, 500)

    def replaced() -> bool:
        body = ask(client, tag, last - 1, last, samples=1).json()
        wanted = reference.kept[tag, last]
        newest = ask(client, tag, again[-1].time - 1, again[-1].time, samples=1).json()
        return bool(
            body["samples"][0]["values"] == wanted
            and newest["samples"][0]["values"] == again[-1].values
        )

    wait_until(replaced, timeout_s=SEEN_TIMEOUT_S, what="the later ones win")
    return tag, start_ns, end_ns, reference


def test_the_later_one_wins(client, tag, now_ns):
    for value in (1.0, 2.0, 3.0):
        assert client.post("/save", json=message(tag, now_ns, value)).status_code == 200

    def newest() -> list[Any]:
        answer = ask(client, tag, now_ns - 1, now_ns, samples=1)
        return [sample["values"] for sample in answer.json().get("samples", [])]

    wait_until(lambda: newest() == [[3.0]], timeout_s=SEEN_TIMEOUT_S, what="the last one")


def test_lines(client, tag, now_ns):
    lines = "\n".join(json.dumps(message(tag, now_ns - n, n)) for n in range(3))
    answer = client.post(
        "/save/batch", content=f"{lines}\n", headers={"content-type": "application/x-ndjson"}
    )
    assert (answer.status_code, answer.json()) == (200, {"accepted": 3})
    wait_count(client, tag, 3)


def test_a_batch_of_ten_thousand_at_most(client, tag, now_ns):
    batch = [message(tag, now_ns - n, n) for n in range(BATCH_MAX + 1)]
    answer = client.post("/save/batch", json=batch)
    assert answer.status_code == 400
    assert answer.json() == {"msg": "body: has 10001 messages, 10000 are the most in one batch"}
    save(client, *batch[1:])
    wait_count(client, tag, BATCH_MAX)
    summary = {each["tag"]: each for each in client.get("/api/tags").json()["tags"]}[tag]
    assert summary == {
        "tag": tag,
        "first": now_ns - BATCH_MAX,
        "last": now_ns - 1,
        "count": BATCH_MAX,
    }


def test_an_array_may_be_empty(client):
    save(client)


def test_a_bad_batch_is_not_taken_in_part(client, tag, now_ns):
    answer = client.post("/save/batch", json=[message(tag, now_ns, 1), message("", now_ns, 1)])
    assert answer.status_code == 400
    assert answer.json() == {"msg": "[1].tag: must be a text of 1 to 20 characters"}
    other = f"{tag}b"
    save(client, message(other, now_ns, 1))
    wait_count(client, other, 1)
    assert ask(client, tag, now_ns - 1, now_ns).status_code == 404


def bad(**change: Any) -> dict[str, Any]:
    return {**message("a", time.time_ns(), 1.0), **change}


BAD = {
    "a day ahead": lambda: bad(time=time.time_ns() + DAY_NS),
    "more than a minute ahead": lambda: bad(time=time.time_ns() + 62 * S_NS),
    "before the retention": lambda: bad(time=time.time_ns() - DAY_NS - S_NS),
    "two days behind": lambda: bad(time=time.time_ns() - 2 * DAY_NS),
    "not a number": lambda: bad(values=[math.nan]),
    "infinity": lambda: bad(values=[math.inf]),
    "65 values": lambda: bad(values=[1.0] * 65),
    "no values": lambda: bad(values=[]),
    "an empty tag": lambda: bad(tag=""),
    "21 characters": lambda: bad(tag="x" * 21),
    "NUL": lambda: bad(tag="a\0"),
    "another field": lambda: bad(unit="K"),
    "a text for a time": lambda: bad(time=str(time.time_ns())),
    "an array": lambda: [bad()],
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message(client, name):
    text = json.dumps(BAD[name]())
    answer = client.post("/save", content=text)
    assert answer.status_code == 400
    assert list(answer.json()) == ["msg"]
    answer = client.post("/save/batch", content=text)
    assert answer.status_code == (200 if name == "an array" else 400)


def test_a_minute_ahead_and_a_day_behind_are_taken(client, tag, now_ns):
    save(
        client,
        message(tag, now_ns + 59 * S_NS, 2.0),
        message(tag, now_ns - DAY_NS + 60 * S_NS, 1.0),
        message("温度" * 10, now_ns, *[1e300] * 64),
    )
    wait_count(client, tag, 2)
    body = ask(client, tag, now_ns - DAY_NS + 30 * S_NS, now_ns + 60 * S_NS, samples=2).json()
    assert [sample["values"] for sample in body["samples"]] == [[1.0], [2.0]]
    assert ask(client, "温度" * 10, now_ns - 1, now_ns, samples=1).status_code == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tag": None}, "tag"),
        ({"tag": "x" * 21}, "tag"),
        ({"start": None}, "start"),
        ({"end": None}, "end"),
        ({"start": "x"}, "start"),
        ({"end": 2**63}, "end"),
        ({"end": 1}, "start"),
        ({"start": 1}, "start"),
        ({"samples": 0}, "samples"),
        ({"samples": 10_001}, "samples"),
        ({"agg": "median"}, "agg"),
    ],
)
def test_a_bad_question(client, tag, now_ns, change, field):
    params = {"tag": tag, "start": now_ns - S_NS, "end": now_ns, **change}
    given = {name: value for name, value in params.items() if value is not None}
    answer = client.get("/api", params=given)
    assert answer.status_code == 400
    assert answer.json()["msg"].startswith(f"{field}: ")


def test_further_back_than_the_retention(client, tag, now_ns):
    save(client, message(tag, now_ns, 1.0))
    wait_count(client, tag, 1)
    assert ask(client, tag, time.time_ns() - DAY_NS, now_ns).status_code == 200
    answer = ask(client, tag, time.time_ns() - DAY_NS - 60 * S_NS, now_ns)
    assert answer.status_code == 400
    assert answer.json()["msg"].startswith("start: ")


def test_an_unknown_tag(client, tag, now_ns):
    answer = ask(client, tag, now_ns - S_NS, now_ns)
    assert (answer.status_code, answer.json()) == (404, {"msg": f"tag: there is no tag '{tag}'"})


def test_export(client, tag, now_ns):
    save(client, *(message(tag, now_ns + n, n, n / 2) for n in range(3)))
    wait_count(client, tag, 3)
    params = {"tag": tag, "start": now_ns, "end": now_ns + 2}
    answer = client.get("/api/export", params=params)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert answer.text.splitlines() == [
        "time,value1,value2",
        f"{now_ns},0.0,0.0",
        f"{now_ns + 1},1.0,0.5",
    ]
    answer = client.get("/api/export", params={**params, "format": "ndjson"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    # What was exported can be sent again.
    assert client.post("/save/batch", content=answer.content).json() == {"accepted": 2}
    unknown = client.get("/api/export", params={**params, "tag": f"{tag}x"})
    assert (unknown.status_code, list(unknown.json())) == (404, ["msg"])
    assert client.get("/api/export", params={**params, "format": "xml"}).status_code == 400
    # One after the other, more than there may be at once: each makes room again.
    assert {client.head("/api/export", params=params).status_code for _ in range(6)} == {200}


def test_grafana(client, tag, now_ns):
    save(client, message(tag, now_ns, 1.5, 2.5))
    wait_count(client, tag, 1)
    now_ms = now_ns // 1_000_000
    assert client.get("/api/grafana/").status_code == 200
    assert tag in client.post("/api/grafana/metrics", json={}).json()
    assert tag in client.post("/api/grafana/search", json={"target": ""}).json()
    params: dict[str, Any] = {"tag": tag, "from": now_ms - 1000, "to": now_ms + 1, "samples": 1}
    rows = client.get("/api/grafana/rows", params=params).json()
    assert rows == [{"time": now_ms + 1, "tag": tag, "value1": 1.5, "value2": 2.5}]
    seconds = [time.gmtime(now_ms / 1000 + shift) for shift in (-60, 60)]
    start, end = (time.strftime("%Y-%m-%dT%H:%M:%SZ", each) for each in seconds)
    panel = {
        "range": {"from": start, "to": end},
        "targets": [{"target": tag, "payload": {"element": 2, "agg": "max"}}],
        "maxDataPoints": 1,
    }
    [series] = client.post("/api/grafana/query", json=panel).json()
    assert series["target"] == f"{tag} 2"
    assert [value for value, _ in series["datapoints"]] == [2.5]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/save"),
        ("PUT", "/save"),
        ("GET", "/save/batch"),
        ("POST", "/api"),
        ("DELETE", "/api/tags"),
        ("POST", "/api/export"),
        ("GET", "/api/grafana/query"),
    ],
)
def test_other_methods(client, method, path):
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.json()["msg"].startswith("method: ")


def test_an_unusual_request_is_answered_the_same(client, tag, now_ns):
    """Chunked, so that Django gets it."""
    text = json.dumps(message(tag, now_ns, 1.0)).encode()
    answer = client.post("/save", content=iter([text[:9], text[9:]]))
    assert (answer.status_code, answer.content) == (200, b"{}")
    answer = client.post("/save", content=iter([b"{}"]))
    assert (answer.status_code, answer.json()) == (400, {"msg": "time: is required"})
    wait_count(client, tag, 1)
    # An escape in the path, so that Django gets it.
    params = f"tag={tag}&start={now_ns - 1}&end={now_ns}&samples=1"
    one, other = client.get(f"/%61pi?{params}"), client.get(f"/api?{params}")
    assert (one.status_code, one.content) == (200, other.content)


def test_hostile_input_disturbs_nobody(stack, client, tag, now_ns):
    workers = {
        worker["pid"]
        for worker in client.get("/readyz").json()["workers"]
        if worker["pool"] == "api"
    }
    for path in ("/save", "/save/batch"):
        large = client.post(path, content=b"[" + b" " * 10_000_000)
        assert large.status_code in (400, 413)
        deep = client.post(path, content=b"[" * 60_000)
        assert deep.status_code == 400
        with socket.create_connection(("127.0.0.1", stack.port)) as half:
            half.sendall(
                f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 90\r\n\r\n{{".encode()
            )
    save(client, message(tag, now_ns, 1.0))
    wait_count(client, tag, 1)
    assert all(psutil.pid_exists(pid) for pid in workers)


def test_readyz_and_metrics_show_the_lag(client, tag, now_ns):
    save(client, message(tag, now_ns, 1.0))
    state = client.get("/readyz").json()["timeseries"]
    assert state["store"] == "postgres"
    assert state["lag_s"] >= 0
    assert "timeseries_lag_seconds" in client.get("/metrics").text
    wait_until(
        lambda: 'ingest_accepted_total{stream="timeseries"}' in client.get("/metrics").text,
        timeout_s=60,
        what="the accepted message is counted",
    )


def test_producer_and_clients(stack):
    """Their commands, beside each other, as the acceptance test runs them for minutes."""
    produced = stack.manage(
        *("produce_measurements", "--rate", "500", "--burst", "500", "--duration", "2"),
        *("--tags", "3", "--distribution", "uniform", "--max-behind-s", "60"),
    )
    assert produced.returncode == 0, produced.stderr
    assert produced.stdout.splitlines()[-1].startswith("1500 messages; ")
    asked = stack.manage(
        *("query_measurements", "--clients", "2", "--rate", "5", "--tags", "3"),
        *("--duration", "4", "--max-lag-s", "60", "--max-p99-ms", "60000"),
    )
    assert asked.returncode == 0, asked.stderr
    assert "errors: none; lag p50" in asked.stdout
    broken = stack.manage(
        "query_measurements", "--duration", "1", "--tags", "1", "--max-p99-ms", "0"
    )
    assert broken.returncode == 1
    assert "CommandError: p99" in broken.stderr
