"""Looks up, beside the event loop, sessions that the process's memory does not know.

Those that come while others are asked for wait, and are then asked for together: after a start, or
when changes went unheard, every session is unknown, and a question costs the interpreter more than
its answer.
"""

from asyncio import AbstractEventLoop
from collections.abc import Iterable
from functools import partial
from itertools import islice
from logging import getLogger

from django.db import Error

from accounts.fastpath import BUSY, STORE_AWAY, UNAUTHORIZED, Found
from accounts.people import Person
from accounts.sessions import Sessions
from commons.answering import give_connection_back
from commons.patience import patience
from runtime.http.answer import Answer
from runtime.lanes import Lane

log = getLogger(__name__)
_THREADS = 2
_WAITING_MOST = 1_000
_TOGETHER_MOST = 100
# How long a question may wait for a thread, although they are only asked when one is free; and for
# its answer.
_PATIENCE_S = 5.0

Waiting = dict[bytes, list[Found]]
# Of those that were asked for; who is missing has no valid session.
People = dict[bytes, Person | Answer]


class Lookups:
    """Threads that ask Redis and PostgreSQL. Used from one event loop."""

    def __init__(self, sessions: Sessions, loop: AbstractEventLoop) -> None:
        self._sessions = sessions
        # By the token's hash. Who comes later than a question was sent is not given its answer,
        # which may be older than a change that they know of.
        self._waiting: Waiting = {}
        self._count = 0
        self._lane: Lane[People | None] = Lane(
            loop,
            name="session-lookup",
            threads=_THREADS,
            waiting=0,
            patience_s=_PATIENCE_S,
            late=None,
            rest=give_connection_back,
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
        if not self._waiting or self._lane.jobs >= _THREADS:
            return
        asked = {
            digest: self._waiting.pop(digest)
            for digest in list(islice(self._waiting, _TOGETHER_MOST))
        }
        self._lane.take(partial(self._find, list(asked)), partial(self._end, asked))

    def _find(self, digests: list[bytes]) -> People:
        # Some may have been found meanwhile.
        people = self._known(digests)
        unknown = [digest for digest in digests if digest not in people]
        try:
            with patience(_PATIENCE_S):
                people.update(self._sessions.check_stores(unknown) if unknown else {})
        except Error as error:
            log.warning("sessions could not be checked: %s", error)
            # The next question shall not find what is left of this one's connection.
            give_connection_back()
            # Redis may have known some.
            people |= dict.fromkeys(unknown, STORE_AWAY) | self._known(unknown)
        return people

    def _known(self, digests: Iterable[bytes]) -> People:
        found = ((digest, self._sessions.memory.find(digest)) for digest in digests)
        return {digest: entry.person for digest, entry in found if entry is not None}

    def _end(self, asked: Waiting, people: People | None) -> None:
        self._count -= sum(map(len, asked.values()))
        self._ask()
        for digest, waiting in asked.items():
            # None after an error that nobody foresaw.
            found = STORE_AWAY if people is None else people.get(digest, UNAUTHORIZED)
            for tell in waiting:
                try:
                    tell(found)
                except Exception:
                    log.exception("the answer of a session's check could not be given")

    def stop(self) -> None:
        """Let the threads go once they are done."""
        self._lane.stop()
