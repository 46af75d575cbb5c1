"""What an api worker starts for ingestion: keys, limits and the group commit, over a real Redis."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import redis

from config.ingest import Ingest
from config.variable import VariableError
from counters.payload import decode_payload
from counters.totals import streams
from runtime.http.answer import Answer
from runtime.http.routes import HotRequest, RouteTable, WriteRoute

Send = Callable[..., list[Answer]]


@pytest.fixture
def send(server: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Send:
    """Starts a worker's ingestion as the variables say, sends increments, and stops it."""

    def start_and_send(count: int, *headers: tuple[bytes, bytes], **variables: str) -> list[Answer]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

        async def run() -> list[Answer]:
            ingest, table = Ingest(), RouteTable()
            await ingest.start()
            ingest.add_routes(table)
            route = table.find(b"POST", b"/increment")
            assert isinstance(route, WriteRoute)
            answers: list[Answer] = []
            for _ in range(count):
                body = msgspec.json.encode({"key": uuid4(), "value": 1})
                route.handler(HotRequest(b"", body, list(headers), "192.0.2.7"), answers.append)
            await ingest.stop()
            return answers

        return asyncio.run(run())

    return start_and_send


def counted(server: Any) -> int:
    """How many increments are in the stream."""
    entries = server.xrange(streams()[0])
    return sum(len(decode_payload(fields[b"b"]).block.keys) for _, fields in entries)


def statuses(answers: list[Answer]) -> list[int]:
    return sorted(answer.status for answer in answers)


def test_what_was_taken_is_answered_before_the_end(send, server):
    assert statuses(send(100)) == [200] * 100
    assert counted(server) == 100
    # They came together, and went together.
    assert server.xlen(streams()[0]) == 1


def test_without_its_key_nothing_is_taken(send, server):
    keys = {"INGEST_API_KEYS": "one,two"}
    assert statuses(send(3, **keys)) == [401] * 3
    assert statuses(send(3, (b"x-api-key", b"three"), **keys)) == [401] * 3
    assert counted(server) == 0
    assert statuses(send(3, (b"authorization", b"Bearer two"), **keys)) == [200] * 3
    assert counted(server) == 3


def test_a_limit_holds_over_all_workers(send, server):
    limit = {"INGEST_RATE_PER_ADDRESS": "0.01", "INGEST_RATE_BURST_S": "500"}
    answers = send(4, **limit) + send(4, **limit)
    assert statuses(answers) == [200] * 5 + [429] * 3
    assert counted(server) == 5
    [wait_s] = {int(each.text_headers()["retry-after"]) for each in answers if each.status == 429}
    assert 90 <= wait_s <= 100
    # Another client behind our proxy has a limit of its own.
    headers = [(b"x-forwarded-for", b"198.51.100.1")]
    assert statuses(send(4, *headers, **limit)) == [429] * 4
    assert statuses(send(4, *headers, **limit, TRUSTED_PROXIES="192.0.2.0/24")) == [200] * 4


def test_a_limit_by_key(send):
    limit = {"INGEST_API_KEYS": "one,two", "INGEST_RATE_PER_KEY": "0.01"}
    for key in (b"one", b"two"):
        assert statuses(send(2, (b"x-api-key", key), **limit)) == [200, 429]


def test_what_is_no_limit_is_refused_at_the_start(send):
    with pytest.raises(VariableError, match="INGEST_RATE_PER_ADDRESS"):
        send(1, INGEST_RATE_PER_ADDRESS="-1")
    with pytest.raises(VariableError, match="TRUSTED_PROXIES"):
        send(1, INGEST_RATE_PER_ADDRESS="1", TRUSTED_PROXIES="nginx")
