"""Group commit over a real Redis: what arrives together is one entry, and an answer is true."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvloop
from django.conf import settings

from runtime.commit import GroupCommit
from runtime.http.answer import UNKNOWN, Answer
from runtime.redis_where import open_redis
from tests.runtime.streams import SAFE, new_commit, open_stream, submit

NAME = "commit-tests"
KEY = "adhouse:{commit-tests:0}:log"
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    client = open_redis(settings.REDIS_URL)
    client.delete(KEY)
    yield
    client.delete(KEY)
    client.close()


def with_commit(
    use: Callable[[GroupCommit[str]], Awaitable[Any]],
    *,
    url: str = "",
    **limits: Any,
) -> Any:
    """Run `use` with a started group commit, and stop that at the end."""

    async def run() -> Any:
        commit = new_commit(url or settings.REDIS_URL, name=NAME, **limits)
        await commit.start()
        try:
            return await use(commit)
        finally:
            await commit.stop()

    return uvloop.run(run())


def payloads() -> list[bytes]:
    return [entry.payload for entry in open_stream(settings.REDIS_URL, KEY).read(100, 10**6)]


def test_what_arrives_together_is_one_entry() -> None:
    async def use(commit: GroupCommit[str]) -> list[Answer]:
        return await asyncio.gather(*(submit(commit, word) for word in "abc"))

    assert with_commit(use) == [SAFE] * 3
    assert payloads() == [b"a,b,c"]


def test_one_request_that_cannot_take_its_answer_is_not_the_others_trouble(caplog) -> None:
    def broken(answer: Answer) -> None:
        raise ZeroDivisionError

    async def use(commit: GroupCommit[str]) -> list[Answer]:
        async def submit_broken() -> None:
            commit.submit("x", 1, broken, SAFE)

        _, *others = await asyncio.gather(submit_broken(), submit(commit, "a"), submit(commit, "b"))
        return [*others, await submit(commit, "c")]

    assert with_commit(use) == [SAFE] * 3
    assert payloads() == [b"x,a,b", b"c"]
    assert "an answer could not be given" in caplog.text


def test_what_arrives_while_a_batch_is_written_is_the_next_entry() -> None:
    async def use(commit: GroupCommit[str]) -> None:
        first = asyncio.ensure_future(submit(commit, "a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.gather(first, submit(commit, "b"), submit(commit, "c"))
        await submit(commit, "d")

    with_commit(use)
    assert payloads() == [b"a", b"b,c", b"d"]


def test_the_batches_of_a_writer_are_numbered() -> None:
    async def use(commit: GroupCommit[str]) -> None:
        for word in "abc":
            await submit(commit, word)

    with_commit(use)
    with_commit(use)
    entries = open_stream(settings.REDIS_URL, KEY).read(100, 10**6)
    assert [entry.seq for entry in entries] == [1, 2, 3, 1, 2, 3]
    assert len({entry.writer for entry in entries}) == 2
    assert {len(entry.writer) for entry in entries} == {16}


@pytest.mark.parametrize("limits", [{"batch_items": 2}, {"batch_bytes": 2}])
def test_a_batch_closes_at_its_limits(limits: dict[str, Any]) -> None:
    async def use(commit: GroupCommit[str]) -> list[Answer]:
        return await asyncio.gather(*(submit(commit, word) for word in "abcde"))

    assert with_commit(use, **limits) == [SAFE] * 5
    assert payloads() == [b"a,b", b"c,d", b"e"]


def test_beyond_what_may_wait_is_refused_and_not_written() -> None:
    async def use(commit: GroupCommit[str]) -> list[Answer]:
        answers = await asyncio.gather(*(submit(commit, word) for word in "abcde"))
        return [*answers, await submit(commit, "f")]

    answers = with_commit(use, queue_bytes=3)
    assert [answer.status for answer in answers] == [200, 200, 200, 503, 503, 200]
    assert answers[3].headers == ((b"retry-after", b"1"),)
    assert payloads() == [b"a,b,c", b"f"]


def test_a_full_stream_takes_nothing_until_it_is_drained() -> None:
    async def status(commit: GroupCommit[str]) -> int:
        return (await submit(commit, "x" * 1000)).status

    async def use(commit: GroupCommit[str]) -> list[Answer]:
        while await status(commit) == 200:
            pass
        stream = open_stream(settings.REDIS_URL, KEY)
        full_bytes = stream.size_bytes()
        entries = stream.read(10**6, 10**9)
        assert sum(len(entry.payload) for entry in entries) <= full_bytes <= 2 * 50_000
        stream.trim(entries[0].id, entries[-1].id)
        async with asyncio.timeout(10):
            while await status(commit) == 503:
                await asyncio.sleep(0.02)
        return []

    with_commit(use, stream_max_bytes=50_000)


def test_without_redis_nothing_is_accepted() -> None:
    async def use(commit: GroupCommit[str]) -> Answer:
        return await submit(commit, "a")

    answer = with_commit(use, url=NOWHERE)
    assert answer.status == 503
    assert b"nothing was accepted" in answer.body


def test_stopping_answers_what_was_taken_and_refuses_the_rest() -> None:
    async def run() -> list[Answer]:
        commit = new_commit(settings.REDIS_URL, name=NAME, batch_items=1)
        await commit.start()
        taken = [asyncio.ensure_future(submit(commit, word)) for word in "abc"]
        await asyncio.sleep(0)
        await commit.stop()
        return [*await asyncio.gather(*taken), await submit(commit, "d")]

    assert [answer.status for answer in uvloop.run(run())] == [200, 200, 200, 503]
    assert payloads() == [b"a", b"b", b"c"]


def test_a_batch_that_cannot_be_encoded_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    async def use(commit: GroupCommit[str]) -> list[Answer]:
        return [await submit(commit, "\ud800"), await submit(commit, "b")]

    assert [answer.status for answer in with_commit(use)] == [500, 200]
    assert payloads() == [b"b"]
    assert "cannot be encoded" in caplog.text


def test_what_redis_refuses_is_not_accepted() -> None:
    client = open_redis(settings.REDIS_URL)
    client.set(KEY, "not a stream")

    async def use(commit: GroupCommit[str]) -> Answer:
        return await submit(commit, "a")

    assert with_commit(use).status == 503
    client.close()


def test_a_connection_that_ends_keeps_nobody_waiting() -> None:
    async def use(commit: GroupCommit[str]) -> list[int]:
        statuses = []
        async with asyncio.timeout(20):
            for turns in range(6):
                connection = commit._link._connection
                assert connection is not None
                connection.abort()
                # The next write meets the connection at each stage of its end.
                for _ in range(turns):
                    await asyncio.sleep(0)
                statuses.append((await submit(commit, "a")).status)
                while (await submit(commit, "b")).status != 200:
                    await asyncio.sleep(0.01)
        return statuses

    statuses = with_commit(use)
    assert set(statuses) <= {200, 503}
    assert b",".join(payloads()).count(b"a") == statuses.count(200)


def test_a_mistake_in_a_rescue_costs_only_its_batch(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def mistaken(batch: Any, give_up_s: float) -> Any:
        raise TypeError("a mistake of ours")

    async def use(commit: GroupCommit[str]) -> list[Answer]:
        taken = asyncio.ensure_future(submit(commit, "a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        connection = commit._link._connection
        assert connection is not None
        with monkeypatch.context() as patch:
            patch.setattr(commit, "_try_again", mistaken)
            connection.abort()
            lost = await taken
        return [lost, await submit(commit, "b")]

    assert with_commit(use) == [UNKNOWN, SAFE]
    assert "could not be rescued" in caplog.text
