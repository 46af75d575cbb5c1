"""Lanes of threads for what has to wait for a store or a hash. Pure.

More than one, because of a flood of logins: each takes a core for tens of milliseconds, and
sessions that are not in memory must be looked up meanwhile.
"""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Given = TypeVar("Given")


class Lane(Generic[Given]):
    """Some threads, and a bounded line before them. Used from one event loop.

    What has waited longer than `patience_s` is answered with `late` and not begun: while a store
    is away each job takes seconds, and nobody waits for the answer any more.
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = loop
        self._patience_s = patience_s
        self._late = late
        self._clock = clock
        self._most = threads + waiting
        self._jobs = 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    @property
    def jobs(self) -> int:
        """How many are worked on or wait."""
        return self._jobs

    def take(self, job: Callable[[], Given], done: Callable[[Given], None]) -> bool:
        """Run `job`, which never raises, in a thread, then `done` on the loop with what it gives.
        False, and nothing happens, when the line is full.
        """
        if self._jobs >= self._most:
            return False
        self._jobs += 1
        self._threads.submit(self._run, job, done, self._clock())
        return True

    def _run(
        self, job: Callable[[], Given], done: Callable[[Given], None], taken_at_s: float
    ) -> None:
        waited_s = self._clock() - taken_at_s
        given = job() if waited_s <= self._patience_s else self._late
        self._loop.call_soon_threadsafe(self._end, given, done)

    def _end(self, given: Given, done: Callable[[Given], None]) -> None:
        self._jobs -= 1
        done(given)

    def stop(self) -> None:
        """Let the threads go once they are done; what waits in the line is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)
