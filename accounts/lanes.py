"""Lanes of threads for packets that have to wait for a store or a hash.

Two lanes, because of a flood of logins: each takes a core for tens of milliseconds, and sessions
that are not in memory must be looked up meanwhile.
"""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Job = Callable[[], bytes]
Done = Callable[[bytes], None]


class Lane:
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
        late: bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = loop
        self._patience_s = patience_s
        self._late = late
        self._clock = clock
        self._most = threads + waiting
        self._jobs = 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"packets-{name}")

    @property
    def jobs(self) -> int:
        """How many are worked on or wait."""
        return self._jobs

    def take(self, job: Job, done: Done) -> bool:
        """Run `job`, which never raises, in a thread, then `done` on the loop with its answer.
        False, and nothing happens, when the line is full.
        """
        if self._jobs >= self._most:
            return False
        self._jobs += 1
        self._threads.submit(self._run, job, done, self._clock())
        return True

    def _run(self, job: Job, done: Done, taken_at_s: float) -> None:
        waited_s = self._clock() - taken_at_s
        answer = job() if waited_s <= self._patience_s else self._late
        self._loop.call_soon_threadsafe(self._end, answer, done)

    def _end(self, answer: bytes, done: Done) -> None:
        self._jobs -= 1
        done(answer)

    def stop(self) -> None:
        """Let the threads go once they are done; what waits in the line is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)
