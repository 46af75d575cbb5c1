"""Looks up, beside the event loop, sessions that the process's memory does not know.

Those that come while others are asked for wait, and are then asked for together: after a start, or
a change of the subscription, every session is unknown, and a question costs the interpreter more
than its answer.
"""

from asyncio import AbstractEventLoop
from functools import partial
from logging import getLogger

from django.db import Error, connections

from accounts.fastpath import BUSY, STORE_AWAY, UNAUTHORIZED, Found
from accounts.people import Person
from accounts.sessions import Sessions
from runtime.http.answer import Answer
from runtime.lanes import Lane

log = getLogger(__name__)
_THREADS = 2
_WAITING_MOST = 1_000
_TOGETHER_MOST = 100
# How long a question may wait for a thread; they are only asked when one is free.
_PATIENCE_S = 5.0

Waiting = dict[bytes, list[Found]]


class Lookups:
    """Threads that ask Redis and PostgreSQL. Used from one event loop."""

    def __init__(self, sessions: Sessions, loop: AbstractEventLoop) -> None:
        self._sessions = sessions
        # By the token's hash. Who comes later than a question was sent is not given its answer,
        # which may be older than a change that they know of.
        self._waiting: Waiting = {}
        self._count = 0
        self._lane: Lane[dict[bytes, Person] | Answer] = Lane(
            loop,
            name="session-lookup",
            threads=_THREADS,
            waiting=0,
            patience_s=_PATIENCE_S,
            late=STORE_AWAY,
            rest=connections.close_all,
        )

    def look_up(self, digest: bytes, found: Found) -> None:
        """Call `found` later, on the event loop, with the person or with an answer that says why
        there is none; at once when too many wait.
        """
        if self._count >= _WAITING_MOST:
            found(BUSY)
            return
        self._count += 1
        self._waiting.setdefault(digest, []).append(found)
        self._ask()

    def _ask(self) -> None:
        asked = dict(list(self._waiting.items())[:_TOGETHER_MOST])
        if asked and self._lane.take(partial(self._find, list(asked)), partial(self._end, asked)):
            for digest in asked:
                del self._waiting[digest]

    def _find(self, digests: list[bytes]) -> dict[bytes, Person] | Answer:
        people: dict[bytes, Person] = {}
        unknown = []
        for digest in digests:
            # Some may have been found meanwhile.
            entry = self._sessions.memory.find(digest)
            if entry is None:
                unknown.append(digest)
            else:
                people[digest] = entry.person
        try:
            return people | self._sessions.check_stores(unknown) if unknown else people
        except Error as error:
            log.warning("%d sessions could not be checked: %s", len(digests), error)
            return STORE_AWAY

    def _end(self, asked: Waiting, people: dict[bytes, Person] | Answer) -> None:
        self._count -= sum(map(len, asked.values()))
        self._ask()
        for digest, waiting in asked.items():
            found = people if isinstance(people, Answer) else people.get(digest, UNAUTHORIZED)
            for tell in waiting:
                tell(found)

    def stop(self) -> None:
        """Let the threads go once they are done."""
        self._lane.stop()
