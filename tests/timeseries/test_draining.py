"""The writer's loop: passes, pauses, troubles, over a real stream."""

import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings

from runtime.redis_where import open_redis
from runtime.stream import Appender, Stream
from timeseries.drain import Draining, Pace, Progress
from timeseries.records import Measurement, StoreAwayError, encode
from timeseries.stores.memory import Memory, MemoryWriter


class Streams:
    """Streams of the test's own, as many as asked for."""

    def __init__(self, count: int) -> None:
        self.client = open_redis(settings.REDIS_URL)
        keys = [f"test:{uuid.uuid4()}" for _ in range(count)]
        self.streams = [Stream(self.client, key) for key in keys]
        self.appenders = [Appender(self.client, key) for key in keys]

    def append(self, shard: int, time_ns: int, tag: str = "a") -> None:
        self.appenders[shard].append(encode([Measurement(time_ns, tag, [1.0])]))


@pytest.fixture
def two() -> Iterator[Streams]:
    streams = Streams(2)
    yield streams
    streams.client.delete(*(stream.key for stream in streams.streams))


class Waits:
    """Stands where the event of the signal handler does: no time passes. Does `on_wait` each time,
    and says stop after so many waits.
    """

    def __init__(self, most: int, on_wait: Callable[[int], None] = lambda _: None) -> None:
        self.seconds: list[float] = []
        self._most = most
        self._on_wait = on_wait

    def __call__(self, seconds: float) -> bool:
        if seconds:
            self.seconds.append(seconds)
            self._on_wait(len(self.seconds))
        return len(self.seconds) >= self._most


def draining(
    memory: Memory, streams: Streams, wait: Waits, **more
) -> tuple[Draining, list[Progress]]:
    told: list[Progress] = []
    parts = {"writer": MemoryWriter(memory), "streams": streams.streams, **more}
    return Draining(wait=wait, report=told.append, **parts), told


def test_all_streams_are_drained_and_trimmed(two):
    memory = Memory()
    two.append(0, 1)
    two.append(1, 2)
    two.append(1, 3)
    loop, told = draining(memory, two, Waits(1))
    loop.run()
    assert sorted(memory.tags["a"]) == [1, 2, 3]
    assert [stream.length() for stream in two.streams] == [0, 0]
    assert (told[0].entries, told[0].streams, told[0].trouble) == (3, 2, "")
    assert 0 <= told[0].lag_s < 60
    assert told[-1].lag_s == 0


def test_what_comes_before_the_end_is_taken_along(two):
    memory = Memory()
    loop, _ = draining(memory, two, Waits(1, lambda _: two.append(0, 7)))
    loop.run()
    assert list(memory.tags["a"]) == [7]


def test_a_quiet_stream_is_looked_at_once_a_second(two):
    waits = Waits(20)
    loop, told = draining(Memory(), two, waits)
    loop.run()
    assert waits.seconds == [0.1] * 20
    # Two passes in 20 looks, and the one at the end.
    assert len(told) == 3


def test_a_long_pause_is_no_silence(two, monkeypatch):
    now_s, silent_s = 0.0, list[float]()
    monkeypatch.setattr(time, "monotonic", lambda: now_s)

    def look(count: int) -> None:
        nonlocal now_s
        now_s += 0.1
        silent_s.append(loop.silent_s())

    loop, _ = draining(Memory(), two, Waits(50, look), pace=Pace(interval_s=3600))
    loop.run()
    assert 0 < max(silent_s) < 1


def test_much_is_not_waited_for(two):
    memory, waits = Memory(), Waits(5, lambda count: two.append(0, count))
    loop, told = draining(memory, two, waits, pace=Pace(interval_s=1.0, much_bytes=1))
    loop.run()
    assert len(memory.tags["a"]) == 5
    assert [progress.entries for progress in told] == [0, 1, 2, 3, 4, 5]


class Away(MemoryWriter):
    """A store that fails as long as `away`."""

    away = True

    def drain(self, stream):
        if self.away:
            raise StoreAwayError("the store is away")
        return super().drain(stream)


def test_a_store_that_is_away_is_tried_again(two, caplog):
    memory = Memory()
    writer = Away(memory)
    two.append(0, 1)

    def come_back(count: int) -> None:
        writer.away = count < 3

    waits = Waits(4, come_back)
    loop, told = draining(memory, two, waits, writer=writer)
    loop.run()
    assert waits.seconds == [0.5, 0.5, 0.5, 0.1]
    assert [progress.trouble for progress in told] == ["the store is away"] * 3 + ["", ""]
    assert list(memory.tags["a"]) == [1]
    assert caplog.text.count("cannot write: the store is away") == 1


def test_redis_that_is_away_is_tried_again():
    nowhere = Stream(open_redis("redis://127.0.0.1:1/0", timeout_s=0.1), "test:nowhere")
    told: list[Progress] = []
    loop = Draining(
        writer=MemoryWriter(Memory()), streams=[nowhere], wait=Waits(2), report=told.append
    )
    loop.run()
    assert len(told) == 3
    assert all(progress.trouble for progress in told)
