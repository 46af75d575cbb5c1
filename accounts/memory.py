"""Sessions that this process knows to be valid, so that a check usually touches nothing else. Pure.

It is only trusted while changes are heard of: `trust` and `distrust` say so. An entry is believed
for a minute after PostgreSQL was asked, and dropped at the first word of a change.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from accounts.people import CheckedSession, Person

SESSIONS_MOST = 100_000
# How long it is known that a user has changed: longer than any read of a store takes.
_CHANGES_KEPT_S = 120.0
# A session that is in use by then is asked for again so long before it is not believed any more;
# one that is not is looked at again after half of what is left, as long as that is worth it.
RENEWED_BEFORE_S = 20.0
_LOOKED_AT_BEFORE_S = 2.0


class Entry:
    """One session. Doors keep their ready-made answers with it, in `me` and `line`.

    `live` until memory drops it: who keeps an entry for later looks at that, and at `until_s`.
    """

    __slots__ = ("line", "live", "look_s", "me", "person", "until_s", "used", "wanted")

    def __init__(self, session: CheckedSession) -> None:
        self.person: Person = session.person
        self.until_s = session.until_s
        # Since uses were last told, and since a store was last asked.
        self.used = False
        self.wanted = False
        # The second of Unix time in which it is looked at whether to renew it.
        self.look_s = 0
        self.live = True
        self.me: Any = None
        self.line: bytes | None = None


class SessionMemory:
    """Entries by token hash. Reads take no lock; writes do."""

    def __init__(
        self, *, most: int = SESSIONS_MOST, clock: Callable[[], float] = time.time
    ) -> None:
        self.trusted = False
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[bytes, Entry] = {}
        self._by_user: dict[int, set[bytes]] = {}
        self._changed: dict[int, float] = {}
        # The live entries by their `look_s`.
        self._looks: dict[int, dict[bytes, Entry]] = {}
        self._used: list[Entry] = []
        self._used_elsewhere: set[UUID] = set()
        self.hits = 0

    def find(self, token_hash: bytes) -> Entry | None:
        """The session, if it is known to be valid."""
        entry = self._entries.get(token_hash)
        if entry is None or not self.use(entry):
            return None
        return entry

    def use(self, entry: Entry) -> bool:
        """Whether an entry that was found before still holds; it is used then."""
        if not entry.live or entry.until_s <= self._clock():
            return False
        if not entry.used:
            entry.used = entry.wanted = True
            self._used.append(entry)
        self.hits += 1
        return True

    def put(self, token_hash: bytes, session: CheckedSession, *, began_s: float) -> None:
        """Remember a session that a store gave, which was asked at `began_s` (`time.monotonic`);
        not if the user has changed since, nor while nothing is heard.
        """
        user_id = session.person.user_id
        with self._lock:
            self._used_elsewhere.add(session.person.session_id)
            if self.trusted and not self.has_changed(user_id, since_s=began_s):
                self._keep(token_hash, session)

    def take_ending(self, *, most: int) -> list[bytes]:
        """Sessions in use that should be asked for again by now, `most` at a time. Each is given
        once, see `give_back`.
        """
        now_s = self._clock()
        ending: list[bytes] = []
        with self._lock:
            while self._looks and len(ending) < most:
                second = min(self._looks)
                if second > now_s:
                    break
                looks = self._looks[second]
                token_hash, entry = looks.popitem()
                if not looks:
                    del self._looks[second]
                left_s = entry.until_s - now_s
                if left_s <= 0:
                    continue
                if entry.wanted:
                    ending.append(token_hash)
                elif left_s >= _LOOKED_AT_BEFORE_S:
                    self._look(token_hash, entry, now_s + left_s / 2)
        return ending

    def give_back(self, ending: Iterable[bytes]) -> None:
        """These could not be renewed: `take_ending` gives them again a second later."""
        again_s = self._clock() + 1.0
        with self._lock:
            for token_hash in ending:
                entry = self._entries.get(token_hash)
                if entry is not None:
                    self._look(token_hash, entry, again_s)

    def renew(self, token_hash: bytes, session: CheckedSession | None, *, began_s: float) -> None:
        """Believe a remembered session for as long as PostgreSQL has said now, which was asked at
        `began_s` (`time.monotonic`); forget one that is not valid any more.
        """
        with self._lock:
            entry = self._entries.get(token_hash)
            if entry is None:
                return
            if session is None:
                self._drop(token_hash)
            elif self.has_changed(session.person.user_id, since_s=began_s):
                return  # Remembered since, by who knew better.
            elif session.person != entry.person:
                self._keep(token_hash, session)
            else:
                # In place: what doors keep with it, and for it, holds on.
                entry.until_s = session.until_s
                entry.used = entry.wanted = False
                # The last of all to make room for others.
                self._entries[token_hash] = self._entries.pop(token_hash)
                self._look(token_hash, entry, entry.until_s - RENEWED_BEFORE_S)

    def has_changed(self, user_id: int, *, since_s: float) -> bool:
        """Whether something about the user is known to have changed since (`time.monotonic`)."""
        changed_s = self._changed.get(user_id)
        return changed_s is not None and changed_s >= since_s

    def forget_user(self, user_id: int) -> None:
        """Something about the user or one of their sessions has changed."""
        now_s = time.monotonic()
        with self._lock:
            self._changed.pop(user_id, None)
            self._changed[user_id] = now_s
            while next(iter(self._changed.values())) < now_s - _CHANGES_KEPT_S:
                del self._changed[next(iter(self._changed))]
            for token_hash in list(self._by_user.get(user_id, ())):
                self._drop(token_hash)

    def trust(self) -> None:
        """Every change will be heard of from now on."""
        self.trusted = True

    def distrust(self) -> None:
        """Changes may go unheard: forget everything, and remember nothing."""
        with self._lock:
            self.trusted = False
            for entry in self._entries.values():
                entry.live = False
            self._entries.clear()
            self._by_user.clear()
            self._looks.clear()

    def take_used(self) -> list[UUID]:
        """The sessions that were used since the last time."""
        with self._lock:
            used, self._used = self._used, []
            elsewhere, self._used_elsewhere = self._used_elsewhere, set()
        for entry in used:
            entry.used = False
        return sorted(elsewhere.union(entry.person.session_id for entry in used))

    def __len__(self) -> int:
        return len(self._entries)

    def _keep(self, token_hash: bytes, session: CheckedSession) -> None:
        self._drop(token_hash)
        while len(self._entries) >= self._most:
            self._drop(next(iter(self._entries)))
        self._entries[token_hash] = entry = Entry(session)
        self._by_user.setdefault(session.person.user_id, set()).add(token_hash)
        self._look(token_hash, entry, entry.until_s - RENEWED_BEFORE_S)

    def _look(self, token_hash: bytes, entry: Entry, at_s: float) -> None:
        self._forget_look(token_hash, entry)
        entry.look_s = int(at_s)
        self._looks.setdefault(entry.look_s, {})[token_hash] = entry

    def _forget_look(self, token_hash: bytes, entry: Entry) -> None:
        looks = self._looks.get(entry.look_s)
        if looks is not None and looks.pop(token_hash, None) is not None and not looks:
            del self._looks[entry.look_s]

    def _drop(self, token_hash: bytes) -> None:
        entry = self._entries.pop(token_hash, None)
        if entry is None:
            return
        entry.live = False
        self._forget_look(token_hash, entry)
        hashes = self._by_user[entry.person.user_id]
        hashes.discard(token_hash)
        if not hashes:
            del self._by_user[entry.person.user_id]
