"""Keeps what a process knows of sessions true: two threads beside whatever the process serves.

The *ear* listens to changes. While it hears, memory and Redis may be used; the moment it does not,
they are dropped. The *steward* asks PostgreSQL once a second what has changed, which makes up for
whatever the ear missed: after it first hears again, before anything is trusted, and always. It asks
again about sessions in use before they are not believed any more, so that no check has to, and
writes down, in batches, when sessions were last used.
"""

import threading
import time
from collections.abc import Callable
from logging import getLogger

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections

from accounts.changes import CHANNEL
from accounts.redis_sessions import BELIEVED_S
from accounts.selectors import Change, changes_since
from accounts.services import sessions_used
from accounts.sessions import Sessions, process_sessions
from accounts.stages import count_checks
from runtime.listening import Listener

log = getLogger(__name__)

RECONCILE_S = 1.0
# So many sessions are renewed in one question. The pause behind each lets an event loop answer; the
# bound on all of them lets the steward look for changes.
_RENEWED_TOGETHER, _RENEWED_PAUSE_S, _RENEWED_FOR_S = 100, 0.005, 0.4
USES_WRITTEN_S = 30.0
_LISTEN_S = 0.25
# What was read from PostgreSQL before may be believed that long, and a little for slow commits.
_FIRST_LOOK_S = BELIEVED_S + 15.0
# A change becomes visible when it commits, a little after its time.
_OVERLAP_S = 10.0


class Keeper:
    """The two threads. `start` and `stop` once each."""

    def __init__(
        self,
        sessions: Sessions,
        listener: Listener,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sessions = sessions
        self._listener = listener
        self._clock = clock
        # Counts subscriptions; odd while there is one. What was reconciled in one tells nothing
        # about the next.
        self._subscription = 0
        self._looked_s: float | None = None
        self._uses_written_s = clock()
        self._seen: dict[Change, float] = {}
        self._stopping = threading.Event()
        self._wanted = threading.Event()
        self._guard = threading.Lock()
        self._threads = [
            threading.Thread(target=self._listen, name="accounts-ear", daemon=True),
            threading.Thread(target=self._care, name="accounts-steward", daemon=True),
        ]

    def start(self) -> None:
        """Begin to listen. Sessions are looked up in PostgreSQL until all is known to be heard."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Trust nothing from now on, write down the last uses, and end."""
        self._stopping.set()
        self._wanted.set()
        for thread in self._threads:
            thread.join(timeout=5)
        self._sessions.distrust()

    # -- the ear --------------------------------------------------------------------------------

    def _listen(self) -> None:
        while not self._stopping.is_set():
            self.listen_once(_LISTEN_S)
        self._listener.stop()

    def listen_once(self, timeout_s: float) -> None:
        """Take what comes within `timeout_s` to heart; find out whether anything can come."""
        messages = self._listener.hear(timeout_s)
        if messages is None:
            self._set_deaf()
            self._stopping.wait(timeout_s)
            return
        if not self._subscription % 2:
            with self._guard:
                self._subscription += 1
            self._wanted.set()
        for message in messages:
            self._sessions.heard(message)

    def _set_deaf(self) -> None:
        with self._guard:
            if self._subscription % 2:
                self._subscription += 1
                log.warning("changes of sessions are not heard: PostgreSQL is asked every time")
            self._sessions.distrust()

    # -- the steward ----------------------------------------------------------------------------

    def _care(self) -> None:
        try:
            while not self._stopping.is_set():
                self.reconcile()
                self.renew()
                if self._clock() - self._uses_written_s >= USES_WRITTEN_S:
                    self.write_uses()
                connections.close_all()
                self._wanted.wait(RECONCILE_S)
                self._wanted.clear()
            self.write_uses()
        finally:
            connections.close_all()

    def reconcile(self) -> None:
        """Forget what has changed since the last look; trust the caches if all else is heard."""
        subscription = self._subscription
        began_s = self._clock()
        try:
            changes = changes_since(self._window_s(began_s))
        except (DatabaseError, InterfaceError) as error:
            # While PostgreSQL is away nothing can change; what is trusted stays so.
            log.warning("changes of sessions cannot be read: %s", error)
            return
        news = [change for change in changes if change not in self._seen]
        for user_id in {change.user_id for change in news}:
            self._sessions.heard(f"user {user_id}")
        if not subscription % 2:
            return
        if news and not self._sessions.redis.mark_changed([each.token_hash for each in news]):
            # What Redis holds may be of before the change.
            self._sessions.distrust()
            return
        self._remember(news, began_s)
        self._looked_s = began_s
        with self._guard:
            if self._subscription == subscription and not self._stopping.is_set():
                self._sessions.memory.trust()

    def _window_s(self, now_s: float) -> float:
        if self._looked_s is None or not self._sessions.memory.trusted:
            return _FIRST_LOOK_S
        return min(_FIRST_LOOK_S, now_s - self._looked_s + _OVERLAP_S)

    def _remember(self, news: list[Change], now_s: float) -> None:
        self._seen.update(dict.fromkeys(news, now_s))
        while self._seen and next(iter(self._seen.values())) < now_s - 2 * _FIRST_LOOK_S:
            del self._seen[next(iter(self._seen))]

    def renew(self) -> None:
        """Have the sessions in use believed for another minute, if PostgreSQL says so."""
        memory = self._sessions.memory
        give_up_s = self._clock() + _RENEWED_FOR_S
        while self._clock() < give_up_s and (ending := memory.take_ending(most=_RENEWED_TOGETHER)):
            try:
                self._sessions.renew(ending)
            except (DatabaseError, InterfaceError) as error:
                log.warning("sessions could not be renewed: %s", error)
                memory.give_back(ending)
                return
            if self._stopping.wait(_RENEWED_PAUSE_S):
                return

    def write_uses(self) -> None:
        """Write down the sessions that were used since the last time, and count the checks."""
        self._uses_written_s = self._clock()
        memory = self._sessions.memory
        used = memory.take_used()
        try:
            sessions_used(session_ids=used)
        except (DatabaseError, InterfaceError) as error:
            log.warning("the last use of %d sessions was not written: %s", len(used), error)
        hits, memory.hits = memory.hits, 0
        count_checks("memory", hits)


def new_keeper() -> Keeper:
    """The keeper of this process; not started."""
    return Keeper(process_sessions(), Listener(settings.CACHE_REDIS_URL, CHANNEL))
