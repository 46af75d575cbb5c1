"""What happens to Redis and PostgreSQL under a load of writes, and what the answers then mean."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import pytest
import uvloop

from devstack.errors import StackError
from runtime.http.answer import Answer
from runtime.redis_where import open_redis
from runtime.stream import Stream, stream_key
from tests.runtime.load import Draining, Load, assert_true_answers
from tests.runtime.streams import SAFE, Sink, new_commit, new_sink, submit
from tests.support.small_disk import small_disk
from tests.support.stack import wait_until
from tests.support.stores import Stores

NAME = "faults"
KEY = stream_key(NAME, 0)

pytestmark = pytest.mark.xdist_group("ingest-faults")


@pytest.fixture(scope="module")
def shared() -> Iterator[Stores]:
    """Durable stores for these tests, which leave them running."""
    with Stores() as stores:
        yield stores


@pytest.fixture
def sink(shared: Stores) -> Iterator[Sink]:
    open_redis(shared.redis_url).delete(KEY)
    yield from new_sink(shared.database_url)


def more(load: Load, count: int = 100) -> None:
    enough = len(load.accepted) + count
    wait_until(lambda: len(load.accepted) >= enough, timeout_s=30, what="more was accepted")


def test_redis_is_killed_again_and_again(shared: Stores, sink: Sink) -> None:
    url = shared.redis_url
    with Draining(url, sink, name=NAME), Load(url, sink, name=NAME) as load:
        for _ in range(3):
            more(load)
            shared.kill("redis")
            shared.start_one("redis")
        more(load)
    assert_true_answers(sink, url, load, name=NAME)
    assert load.unknown == []


def test_postgres_is_killed_under_the_drain(shared: Stores, sink: Sink) -> None:
    url = shared.redis_url
    with Draining(url, sink, name=NAME) as draining, Load(url, sink, name=NAME) as load:
        for _ in range(2):
            draining.errors = 0
            more(load)
            shared.kill("postgres")
            wait_until(lambda: draining.errors, timeout_s=30, what="the drain failed")
            more(load)
            shared.start_one("postgres")
    assert load.refused == []
    assert_true_answers(sink, url, load, name=NAME)


def test_redis_stands_still_for_less_than_the_deadline(shared: Stores, sink: Sink) -> None:
    """Tries are given up after `answer_s` and sent again: each counts once."""
    url = shared.redis_url
    with Load(url, sink, name=NAME, answer_s=0.3, deadline_s=30.0) as load:
        more(load)
        answered = load.answered()
        with still(shared, "redis"):
            # Several tries are lost in what Redis will read when it wakes.
            threading.Event().wait(1.5)
        more(load)
        assert load.answered() > answered
    stream = Stream(open_redis(url), KEY)
    sent = [(entry.writer, entry.seq) for entry in stream.read(10**6, 10**9)]
    assert len(sent) > len(set(sent)), "a batch was sent twice"
    assert (load.refused, load.unknown) == ([], [])
    assert_true_answers(sink, url, load, name=NAME)


def test_redis_stands_still_for_longer(shared: Stores, sink: Sink) -> None:
    """PostgreSQL settles what is uncertain: it is refused, and kept out when it turns up."""
    url = shared.redis_url
    with Load(url, sink, name=NAME, answer_s=0.2, deadline_s=0.5) as load:
        more(load)
        with still(shared, "redis"):
            wait_until(lambda: load.refused, timeout_s=30, what="writes were refused")
        more(load)
    assert load.unknown == []
    stream = Stream(open_redis(url), KEY)
    payloads = b",".join(entry.payload for entry in stream.read(10**6, 10**9)).decode().split(",")
    assert set(load.refused) & set(payloads), "what was refused turned up"
    assert_true_answers(sink, url, load, name=NAME)


def test_both_stand_still(shared: Stores, sink: Sink) -> None:
    """Nobody knows: it counts once or not at all, and the next write is certain again."""
    url = shared.redis_url
    with Load(url, sink, name=NAME, answer_s=0.2, deadline_s=0.5, settle_s=0.5) as load:
        more(load)
        with still(shared, "redis"), still(shared, "postgres"):
            wait_until(lambda: load.unknown, timeout_s=30, what="nobody knows")
        more(load)
    assert_true_answers(sink, url, load, name=NAME)


def test_what_a_drain_has_applied_is_accepted_after_all(shared: Stores, sink: Sink) -> None:
    """Redis took the batch and its replies are lost, but a drain has it before the deadline."""
    stream = Stream(open_redis(shared.redis_url), KEY)

    def drain() -> None:
        wait_until(stream.length, timeout_s=60, what="Redis has the batch")
        sink.drain(stream)

    async def run() -> Answer:
        async with Proxy(shared.redis_url) as proxy:
            commit = new_commit(
                proxy.url, name=NAME, settle=sink.settle, answer_s=0.2, deadline_s=2.0
            )
            await commit.start()
            proxy.mute = True
            draining = asyncio.create_task(asyncio.to_thread(drain))
            answer = await submit(commit, "a")
            await draining
            proxy.mute = False
            assert await submit(commit, "b") == SAFE
            await commit.stop()
        return answer

    assert uvloop.run(run()) == SAFE
    sink.drain_all(stream)
    assert sink.items() == ["a", "b"]


class Proxy:
    """Stands before a Redis; while `mute`, its replies to anything but logins are lost.

    A connection that has lost one gives no other: TCP leaves nothing out.
    """

    def __init__(self, url: str) -> None:
        self.mute = False
        self._port = int(url.rpartition(":")[2].partition("/")[0])
        self._url = url
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = self._url.replace(f":{self._port}/", f":{port}/")
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        below, above = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, above]
        await asyncio.gather(self._pass(reader, above), self._pass(below, writer, back=True))

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool = False
    ) -> None:
        lost = False
        with suppress(OSError):
            while data := await reader.read(65_536):
                lost = lost or (back and self.mute and data != b"+OK\r\n")
                if not lost:
                    writer.write(data)
        writer.close()


def test_redis_on_a_full_disk() -> None:
    """Refused while it is full, never accepted and lost; when there is space again it goes on."""
    stores = Stores()
    with small_disk(stores.directory / "redis") as disk, stores, sinks(stores) as sink:
        url = stores.redis_url
        with Load(url, sink, name=NAME, deadline_s=0.5) as load:
            more(load)
            disk.fill()
            refused = len(load.refused)
            # It ends when it cannot write what it must, and whatever watches over it starts it.
            for _ in range(3):
                wait_until(lambda: stores.ending("redis"), timeout_s=30, what="Redis gave up")
                revive(stores, "redis")
            wait_until(lambda: len(load.refused) > refused, timeout_s=30, what="refusals")
            disk.free()
            wait_until(lambda: revive(stores, "redis"), timeout_s=30, what="Redis is back")
            more(load)
        assert_true_answers(sink, url, load, name=NAME)


def test_postgres_on_a_full_disk() -> None:
    """Redis takes what comes; when there is space again everything drains."""
    stores = Stores()
    with small_disk(stores.directory / "postgres", size_mb=128) as disk, stores:
        url = stores.redis_url
        with sinks(stores) as sink:
            with Draining(url, sink, name=NAME) as draining, Load(url, sink, name=NAME) as load:
                more(load)
                disk.fill()
                wait_until(lambda: draining.errors, timeout_s=60, what="the drain failed")
                more(load)
                assert load.refused == []
                disk.free()
                wait_until(lambda: revive(stores, "postgres"), timeout_s=60, what="it is back")
            assert_true_answers(sink, url, load, name=NAME)


def revive(stores: Stores, name: Any) -> bool:
    """Start a server that ended, as the stack would; whether it runs and answers now."""
    if stores.ending(name):
        # Its clients write at once: where that ends it, it may never have answered.
        stores.kill(name)
        with suppress(StackError):
            stores.start_one(name)
    return stores.ending(name) is None


@contextmanager
def sinks(stores: Stores) -> Iterator[Sink]:
    """A sink on stores of a test's own."""
    sink = Sink(stores.database_url)
    sink.make()
    yield sink


@contextmanager
def still(stores: Stores, name: Any) -> Iterator[None]:
    """A server that stands still for a while."""
    stores.pause(name)
    try:
        yield
    finally:
        stores.resume(name)
