"""Clients that write without a rest, a drain that goes on whatever happens, and what must hold."""

import asyncio
import threading
from collections import Counter
from types import TracebackType
from typing import Any, Self

import psycopg
import redis
import uvloop

from runtime.commit import GroupCommit
from runtime.http.answer import UNKNOWN
from runtime.redis_where import open_redis
from runtime.stream import Stream, stream_key
from tests.runtime.streams import Sink, new_commit, submit

CLIENTS = 16
_PAUSE_S = 0.002


class Load:
    """Clients of one worker: each writes the next item when the one before is answered.

    The items are all different, and end up in `accepted`, `refused` or `unknown`.
    """

    def __init__(self, url: str, sink: Sink, *, name: str, prefix: str = "", **limits: Any) -> None:
        self.accepted: list[str] = []
        self.refused: list[str] = []
        self.unknown: list[str] = []
        self._url, self._name, self._prefix = url, name, prefix
        self._settle, self._limits = sink.settle, limits
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()))

    def answered(self) -> int:
        """How many writes were answered."""
        return len(self.accepted) + len(self.refused) + len(self.unknown)

    async def _run(self) -> None:
        commit = new_commit(self._url, name=self._name, settle=self._settle, **self._limits)
        await commit.start()
        await asyncio.gather(*(self._client(commit, number) for number in range(CLIENTS)))
        await commit.stop()

    async def _client(self, commit: GroupCommit[str], number: int) -> None:
        written = 0
        while not self._stopping.is_set():
            written += 1
            item = f"{self._prefix}{number}-{written}"
            answer = await submit(commit, item)
            if answer is UNKNOWN:
                self.unknown.append(item)
            else:
                assert answer.status in (200, 503)
                (self.accepted if answer.status == 200 else self.refused).append(item)
            await asyncio.sleep(_PAUSE_S)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()


class Draining:
    """A drain that tries again after every error, until it is stopped."""

    def __init__(self, url: str, sink: Sink, *, name: str) -> None:
        self._url, self._sink, self._key = url, sink, stream_key(name, 0)
        self.errors = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        stream: Stream | None = None
        while not self._stopping.wait(0.02):
            try:
                stream = stream or Stream(open_redis(self._url), self._key)
                self._sink.drain(stream)
            except (redis.RedisError, psycopg.Error):
                self.errors += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()


def assert_true_answers(sink: Sink, url: str, *loads: Load, name: str, lost: int = 0) -> None:
    """Drain what is left; then everything accepted is there once, but for at most `lost`, and
    nothing that was refused.
    """
    stream = Stream(open_redis(url), stream_key(name, 0))
    sink.drain_all(stream)
    counts = Counter(sink.items())
    assert set(counts.values()) <= {1}
    accepted = {item for load in loads for item in load.accepted}
    refused = {item for load in loads for item in load.refused}
    unknown = {item for load in loads for item in load.unknown}
    missing = accepted - set(counts)
    assert len(missing) <= lost, f"{len(missing)} of {len(accepted)}: {sorted(missing)[:5]}"
    assert refused & set(counts) == set()
    assert set(counts) - accepted - unknown == set()
