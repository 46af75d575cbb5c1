"""The threads that hash passwords: as many as there are cores to spare, and a bounded line. Pure.

A hash takes a core for 27 ms and 19 MiB. Without a bound, a flood of logins would take every core
and gigabytes; with it, what is too much is refused at once, and session checks go on.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from runtime.errors import BusyError

TOO_MANY_MSG = "login: too many at once, nothing was done"
Result = TypeVar("Result")
# Below everything else of the product: when cores are short, hashing waits.
_NICENESS = 5


class HashPool:
    """Runs hashes. Threads start when they are first needed."""

    def __init__(self, *, threads: int, waiting: int) -> None:
        self.threads = threads
        self._most = threads + waiting
        self._taken = 0
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hash", initializer=_give_way)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the line, for as long as a login takes. BusyError when there is none."""
        with self._lock:
            if self._taken >= self._most:
                raise BusyError(TOO_MANY_MSG)
            self._taken += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken -= 1

    def run(self, work: Callable[[], Result]) -> Result:
        """What `work` gives, from a thread of the pool. Have a `place` first."""
        return self._pool.submit(work).result()

    def stop(self) -> None:
        """Let the threads go once they are done."""
        self._pool.shutdown(wait=False)


def _give_way() -> None:
    # On Linux a thread has a niceness of its own.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
