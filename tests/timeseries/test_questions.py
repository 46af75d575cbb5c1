"""The reads over the store in memory: answers, mistakes, bounds."""

import asyncio
import json
import time
from collections.abc import Mapping

import pytest

from runtime.http.answer import Answer
from runtime.http.routes import HotRequest
from tests.timeseries.asked import HOUR_AGO_NS, NOW_NS, RANGE, REACH, S_NS, one_hour
from timeseries.queries import InvalidQueryError, Reach
from timeseries.questions import Questions
from timeseries.records import Query, Sample, Series, StoreAwayError, TagSummary
from timeseries.stores.memory import Memory, MemoryReader


@pytest.fixture
def memory():
    return one_hour()


def questions(reader, **bounds) -> Questions:
    return Questions(reader=reader, reach=REACH, **{"most": 4, "timeout_s": 5.0, **bounds})


def request(query: str = "", body: bytes = b"") -> HotRequest:
    return HotRequest(query.encode(), body, [], "127.0.0.1")


def ask(reader, handler: str, query: str = "", body: bytes = b"") -> tuple[int, object]:
    async def asked() -> Answer:
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        getattr(questions(reader), handler)(request(query, body), answered.set_result)
        return await answered

    answer = asyncio.run(asked())
    return answer.status, json.loads(answer.body)


def test_samples(memory):
    status, answer = ask(MemoryReader(memory), "sample", f"tag=a&{RANGE}&samples=4")
    assert status == 200
    assert answer == {
        "tagName": "a",
        "start": HOUR_AGO_NS,
        "end": NOW_NS,
        "samples": [
            {"time": HOUR_AGO_NS + n * 900 * S_NS, "values": [float(at), at / 2]}
            for n, at in [(1, 900), (2, 1800), (3, 2700), (4, 3599)]
        ],
    }


@pytest.mark.parametrize("samples", [1, 1000, 4999, 10_000])
def test_long_answers_are_the_same(memory, samples):
    """However many pieces an answer is written in."""
    reader = MemoryReader(memory)
    query = Query("a", HOUR_AGO_NS, NOW_NS, samples)
    series = asyncio.run(reader.sample(query))
    _, answer = ask(reader, "sample", f"tag=a&{RANGE}&samples={samples}")
    assert isinstance(answer, dict)
    assert [(each["time"], each["values"]) for each in answer["samples"]] == [
        (each.time, each.values) for each in series.samples
    ]


def test_tags(memory):
    assert ask(MemoryReader(memory), "tags") == (
        200,
        {
            "tags": [
                {"tag": "a", "first": HOUR_AGO_NS, "last": NOW_NS - S_NS, "count": 3600},
                {"tag": "b&c", "first": HOUR_AGO_NS, "last": HOUR_AGO_NS, "count": 1},
            ]
        },
    )


WHOLE = "must be a whole number from"
BAD_QUERIES = [
    ("", "tag: is required"),
    (f"tag=&{RANGE}", "tag: is required"),
    (f"tag={'x' * 21}&{RANGE}", "tag: must have 1 to 20 characters"),
    (f"tag=%00&{RANGE}", "tag: must have 1 to 20 characters"),
    (f"tag=a&tag=b&{RANGE}", "tag: is given more than once"),
    ("tag=a&end=1", "start: is required"),
    ("tag=a&start=1", "end: is required"),
    ("tag=a&start=x&end=1", f"start: {WHOLE} 0 to {2**63 - 1}"),
    ("tag=a&start=-1&end=1", f"start: {WHOLE} 0 to {2**63 - 1}"),
    (f"tag=a&start=1&end={2**63}", f"end: {WHOLE} 0 to {2**63 - 1}"),
    (f"tag=a&start=1&end={'9' * 5000}", f"end: {WHOLE} 0 to {2**63 - 1}"),
    ("tag=a&start=1.0&end=2", f"start: {WHOLE} 0 to {2**63 - 1}"),
    ("tag=a&start=٣&end=4", f"start: {WHOLE} 0 to {2**63 - 1}"),
    (f"tag=a&start={NOW_NS}&end={NOW_NS}", "start: must be before end"),
    (
        f"tag=a&start={NOW_NS - 86_401 * S_NS - 1}&end={NOW_NS}",
        "start: must not be further back than the retention, 86400 s",
    ),
    (f"tag=a&{RANGE}&samples=0", f"samples: {WHOLE} 1 to 10000"),
    (f"tag=a&{RANGE}&samples=10001", f"samples: {WHOLE} 1 to 10000"),
    (f"tag=a&{RANGE}&samples=ten", f"samples: {WHOLE} 1 to 10000"),
    (f"tag=a&{RANGE}&agg=median", "agg: must be one of last, first, min, max, mean, count, lttb"),
]


@pytest.mark.parametrize(("query", "msg"), BAD_QUERIES)
def test_bad_queries(memory, query, msg):
    assert ask(MemoryReader(memory), "sample", query) == (400, {"msg": msg})


def test_whole_retention_may_be_asked_for(memory):
    """Though the request takes a moment to arrive."""
    query = f"tag=a&start={NOW_NS - 86_401 * S_NS}&end={NOW_NS}&unknown=1&agg="
    assert ask(MemoryReader(memory), "sample", query)[0] == 200


def test_unknown_tag(memory):
    assert ask(MemoryReader(memory), "sample", f"tag=x%20%26&{RANGE}") == (
        404,
        {"msg": "tag: there is no tag 'x &'"},
    )


class Broken(MemoryReader):
    """A store that is away, stuck or has a mistake in it."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__(Memory())
        self.error = error

    async def sample(self, query: Query) -> Series:
        await self._fail()
        return await super().sample(query)

    async def tags(self) -> list[TagSummary]:
        await self._fail()
        return await super().tags()

    async def _fail(self) -> None:
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()


def test_a_store_that_is_away_is_not_quoted():
    status, answer = ask(Broken(StoreAwayError("host=10.0.0.7 refused")), "tags")
    assert (status, answer) == (503, {"msg": "store: does not answer, or not in time"})


def test_mistakes_are_answered(caplog):
    assert ask(Broken(KeyError("x")), "tags") == (500, {"msg": "internal error"})
    assert "KeyError" in caplog.text


def test_bounds(memory):
    """Beyond `most` nobody waits, beyond `timeout_s` nobody waits any longer."""

    async def asked() -> list[Answer]:
        answers: list[Answer] = []
        asking = questions(Broken(None), most=2, timeout_s=0.05)
        for _ in range(3):
            asking.tags(request(), answers.append)
        assert [answer.status for answer in answers] == [503]
        await asking.stop()
        asking.tags(request(), answers.append)
        return answers

    answers = asyncio.run(asked())
    words = [json.loads(answer.body)["msg"] for answer in answers]
    assert [answer.status for answer in answers] == [503] * 4
    assert all(dict(answer.headers)[b"retry-after"] == b"1" for answer in answers)
    assert words == [
        "server: too many questions are being answered already",
        "store: did not answer in time",
        "store: did not answer in time",
        "server: is stopping",
    ]


# -- Grafana --------------------------------------------------------------------------------------


def test_grafana_rows(memory):
    ms = HOUR_AGO_NS // 1_000_000
    query = f"tag=a&tag=b%26c&from={ms}&to={NOW_NS // 1_000_000}&samples=2"
    status, rows = ask(MemoryReader(memory), "grafana_rows", query)
    assert status == 200
    assert rows == [
        {"time": ms + 1_800_000, "tag": "a", "value1": 1800.0, "value2": 900.0},
        {"time": ms + 3_600_000, "tag": "a", "value1": 3599.0, "value2": 1799.5},
        {"time": ms + 1_800_000, "tag": "b&c", "value1": 0.1},
        {"time": ms + 3_600_000, "tag": "b&c", "value1": 0.1},
    ]


@pytest.mark.parametrize(
    ("query", "msg"),
    [
        ("from=1&to=2", "tag: must be given 1 to 20 times"),
        ("tag=a&from=x&to=2", f"from: {WHOLE} 0 to {(2**63 - 1) // 10**6}"),
        ("tag=a&to=2", f"from: {WHOLE} 0 to {(2**63 - 1) // 10**6}"),
        ("tag=a&from=1&to=2", "from: must be before to, and what lies between still be kept"),
        ("tag=&from=1&to=2", "tag: must have 1 to 20 characters"),
        ("&".join(f"tag={n}" for n in range(21)), "tag: must be given 1 to 20 times"),
    ],
)
def test_bad_grafana_rows(memory, query, msg):
    assert ask(MemoryReader(memory), "grafana_rows", query) == (400, {"msg": msg})


def panel(*targets: Mapping[str, object], **more: object) -> bytes:
    """As the data source posts it: with much that is of no use to us."""
    span = {"from": "2023-11-14T21:13:20.000Z", "to": "2023-11-14T22:13:20.000Z", "raw": {}}
    return json.dumps(
        {"app": "dashboard", "range": span, "targets": targets, "intervalMs": 1000, **more}
    ).encode()


def test_grafana_query(memory):
    body = panel(
        {"refId": "A", "target": "a", "payload": {"agg": "count", "element": 1}},
        {"refId": "B", "target": "b&c", "payload": ""},
        {"refId": "C", "target": "a", "hide": True},
        {"refId": "D"},
        maxDataPoints=2,
    )
    ms = HOUR_AGO_NS // 1_000_000
    assert ask(MemoryReader(memory), "grafana_query", "", body) == (
        200,
        [
            {"target": "a 1", "datapoints": [[1800, ms + 1_800_000], [1799, ms + 3_600_000]]},
            {"target": "b&c", "datapoints": [[0.1, ms + 1_800_000], [0.1, ms + 3_600_000]]},
        ],
    )


class Wide(MemoryReader):
    """Every tag has 64 values at each point."""

    async def sample(self, query: Query) -> Series:
        samples = [Sample(time_ns, [0.5] * 64) for time_ns in query.times_ns()]
        return Series(query.tag, query.start_ns, query.end_ns, samples)


def turns_meanwhile(handler: str, asked: HotRequest) -> tuple[Answer, int]:
    """The answer, and how often others got their turn until it was there."""

    async def run() -> tuple[Answer, int]:
        answered = asyncio.get_running_loop().create_future()
        getattr(questions(Wide(Memory()), timeout_s=60.0), handler)(asked, answered.set_result)
        turns = 0
        while not answered.done():
            await asyncio.sleep(0)
            turns += 1
        return answered.result(), turns

    return asyncio.run(run())


def test_grafana_keeps_nobody_waiting():
    ms = NOW_NS // 1_000_000
    rows = request(f"tag=a&from={ms - 1000}&to={ms}&samples=10000")
    query = request("", panel({"target": "a"}, maxDataPoints=10_000))
    for handler, asked, entries in (("grafana_rows", rows, 10_000), ("grafana_query", query, 64)):
        answer, turns = turns_meanwhile(handler, asked)
        assert answer.status == 200
        assert len(json.loads(answer.body)) == entries
        assert turns >= 64


def test_grafana_is_told_when_it_asks_for_too_much():
    ms = NOW_NS // 1_000_000
    rows = request(f"tag=a&tag=b&from={ms - 1000}&to={ms}&samples=10000")
    query = request("", panel({"target": "a"}, {"target": "b"}, maxDataPoints=10_000))
    for handler, asked in (("grafana_rows", rows), ("grafana_query", query)):
        answer, _ = turns_meanwhile(handler, asked)
        assert answer.status == 400
        assert json.loads(answer.body)["msg"].startswith("samples: more than 1000000 values")


def test_one_element_of_each_is_not_too_much():
    """Of 64 values at each point one is written: 20 * 10 000 numbers, not 64 times as many."""
    targets = [{"target": "a", "payload": {"element": 64}}] * 20
    answer, _ = turns_meanwhile("grafana_query", request("", panel(*targets, maxDataPoints=10_000)))
    assert answer.status == 200


def test_grafana_looks_back_as_far_as_there_is(memory):
    body = json.dumps(
        {
            "range": {"from": "2020-01-01T00:00:00Z", "to": "2023-11-14T22:13:20Z"},
            "targets": [{"target": "b&c"}],
            "maxDataPoints": 1,
        }
    ).encode()
    status, answer = ask(MemoryReader(memory), "grafana_query", "", body)
    assert (status, answer) == (
        200,
        [{"target": "b&c", "datapoints": [[0.1, NOW_NS // 1_000_000]]}],
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"range":{"from":"2023-11-14T21:13:20","to":"2023-11-14T22:13:20"},"targets":[]}',
        b'{"range":{"from":"0001-01-01T00:00:00Z","to":"2023-11-14T22:13:20Z"},"targets":[]}',
        panel(*[{"target": "a"}] * 21),
        panel({"target": "x" * 21}),
        panel({"target": "a", "payload": {"agg": "median"}}),
        panel({"target": "a"}, maxDataPoints=0),
    ],
)
def test_bad_panels(memory, body):
    assert ask(MemoryReader(memory), "grafana_query", "", body)[0] == 400


def test_grafana_metrics(memory):
    assert ask(MemoryReader(memory), "grafana_metrics") == (200, ["a", "b&c"])


def test_clock():
    """The reach moves with the clock."""
    now_ns = time.time_ns()
    reach = Reach(retention_s=60, grace_s=0, now_ns=lambda: now_ns)
    reach.check(now_ns - 60 * S_NS)
    now_ns += 1
    with pytest.raises(InvalidQueryError):
        reach.check(now_ns - 60 * S_NS - 1)
