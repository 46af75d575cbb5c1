"""Lanes of threads for what has to wait for a store or a hash. Pure.

More than one, because of a flood of logins: each takes a core for tens of milliseconds, and
sessions that are not in memory must be looked up meanwhile.
"""

from __future__ import annotations

import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from logging import getLogger
from queue import Empty, SimpleQueue
from typing import Generic, NamedTuple, TypeVar

log = getLogger(__name__)

Given = TypeVar("Given")
# How long a thread without a job keeps what it has, at a time and in all.
_LINGER_S, _KEEP_S = 0.05, 1.0


class _Job(NamedTuple, Generic[Given]):
    work: Callable[[], Given]
    done: Callable[[Given], None]
    taken_at_s: float


class _Keeping:
    """For how long a thread goes on keeping what it has. One client that asks again and again
    leaves short gaps; neither a trickle of them nor a flood must keep a connection for ever.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """From now on it has something."""
        self._since_s = self._clock()

    def linger_s(self) -> float:
        """Seconds to wait for the next job; 0 when it has kept what it has for long enough."""
        return _LINGER_S if self._clock() - self._since_s <= _KEEP_S else 0.0


class Lane(Generic[Given]):
    """Some threads, and a bounded line before them. Used from one event loop.

    What has waited longer than `patience_s` is answered with `late` and not begun: while a store
    is away each job takes seconds, and nobody waits for the answer any more. A thread that finds
    nobody waiting for a moment, or has gone on for a while, calls `rest`, and so gives back what it
    kept for its next job.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        *,
        name: str,
        threads: int,
        waiting: int,
        patience_s: float,
        late: Given,
        rest: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = loop
        self._patience_s = patience_s
        self._late = late
        self._rest = rest
        self._clock = clock
        self._most = threads + waiting
        self._jobs = 0
        self._line: SimpleQueue[_Job[Given] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}_{number}", daemon=True)
            for number in range(threads)
        ]
        self._started = False

    @property
    def jobs(self) -> int:
        """How many are worked on or wait."""
        return self._jobs

    def take(self, work: Callable[[], Given], done: Callable[[Given], None]) -> bool:
        """Run `work` in a thread, then `done` on the loop with what it gives; with `late`, and a
        line in the log, should it raise. False, and nothing happens, when the line is full.
        """
        if self._jobs >= self._most:
            return False
        self._jobs += 1
        self._line.put(_Job(work, done, self._clock()))
        if not self._started:
            self._started = True
            for thread in self._threads:
                thread.start()
        return True

    def _work(self) -> None:
        keeping = _Keeping(self._clock)
        while (job := self._next(keeping)) is not None:
            self._run(job)
            # Or the password in it, and the connection, would be kept until the next one.
            del job
        self._rest()

    def _run(self, job: _Job[Given]) -> None:
        given = self._late
        if self._clock() - job.taken_at_s <= self._patience_s:
            try:
                given = job.work()
            except Exception:
                # The thread stays: without it all who come would wait for ever.
                log.exception("an unforeseen error beside the event loop")
        # The loop may be gone, and with it whoever asked.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end, given, job.done)

    def _next(self, keeping: _Keeping) -> _Job[Given] | None:
        if linger_s := keeping.linger_s():
            with suppress(Empty):
                return self._line.get(timeout=linger_s)
        # Now and then also while others wait: whoever has no lane wants a connection, too.
        self._rest()
        job = self._line.get()
        keeping.begin()
        return job

    def _end(self, given: Given, done: Callable[[Given], None]) -> None:
        self._jobs -= 1
        done(given)

    def stop(self) -> None:
        """Let the threads go once they are done; what waits in the line is dropped."""
        with suppress(Empty):
            while True:
                self._line.get_nowait()
        for _ in self._threads:
            self._line.put(None)
