"""Looks up, beside the event loop, sessions that the process's memory does not know."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from logging import getLogger

from django.db import Error, connections

from accounts.fastpath import BUSY, STORE_AWAY, UNAUTHORIZED, Found
from accounts.people import Person
from accounts.sessions import Sessions
from runtime.http.answer import Answer

log = getLogger(__name__)
_THREADS = 4
_WAITING_MOST = 1_000


class Lookups:
    """Threads that ask Redis and PostgreSQL. Used from one event loop."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._waiting = 0
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="session-lookup")

    def look_up(self, digest: bytes, found: Found) -> None:
        """Call `found` later, on this event loop, with the person or with an answer that says why
        there is none; at once when too many wait.
        """
        if self._waiting >= _WAITING_MOST:
            found(BUSY)
            return
        self._waiting += 1
        loop = asyncio.get_running_loop()
        self._threads.submit(self._run, loop, digest, found)

    def _run(self, loop: asyncio.AbstractEventLoop, digest: bytes, found: Found) -> None:
        result = self._find(digest)
        loop.call_soon_threadsafe(self._end, result, found)

    def _find(self, digest: bytes) -> Person | Answer:
        # Requests that came together ask for the same session, which the first one has found.
        entry = self._sessions.memory.find(digest)
        if entry is not None:
            return entry.person
        idle = self._waiting <= _THREADS
        try:
            return self._sessions.check_stores(digest) or UNAUTHORIZED
        except Error as error:
            idle = True
            log.warning("a session could not be checked: %s", error)
            return STORE_AWAY
        finally:
            # Back into the pool for other threads, unless this one will need it at once: to take
            # one out costs as much as the question.
            if idle:
                connections.close_all()

    def _end(self, result: Person | Answer, found: Found) -> None:
        self._waiting -= 1
        found(result)

    def stop(self) -> None:
        """Let the threads go once they are done."""
        self._threads.shutdown(wait=False, cancel_futures=True)
