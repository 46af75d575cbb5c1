"""Lanes of threads for packets that have to wait for a store or a hash.

Two lanes, because of a flood of logins: each takes a core for tens of milliseconds, and sessions
that are not in memory must be looked up meanwhile.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Job = Callable[[], bytes]
Done = Callable[[bytes], None]


class Lane:
    """Some threads, and a bounded line before them. Used from one event loop."""

    def __init__(self, loop: AbstractEventLoop, *, name: str, threads: int, waiting: int) -> None:
        self._loop = loop
        self._most = threads + waiting
        self._jobs = 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"packets-{name}")

    @property
    def jobs(self) -> int:
        """How many are worked on or wait."""
        return self._jobs

    def take(self, job: Job, done: Done) -> bool:
        """Run `job`, which never raises, in a thread, then `done` on the loop with what it gave.
        False, and nothing happens, when the line is full.
        """
        if self._jobs >= self._most:
            return False
        self._jobs += 1
        self._threads.submit(self._run, job, done)
        return True

    def _run(self, job: Job, done: Done) -> None:
        answer = job()
        self._loop.call_soon_threadsafe(self._end, answer, done)

    def _end(self, answer: bytes, done: Done) -> None:
        self._jobs -= 1
        done(answer)

    def stop(self) -> None:
        """Let the threads go once they are done; what waits in the line is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)
