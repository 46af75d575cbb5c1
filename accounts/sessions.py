"""Whose session a token is: from this process's memory, else from Redis, else from PostgreSQL.

The caches are used only while this process hears of changes, see `accounts.keeper`; otherwise every
check asks PostgreSQL, and nobody is let in because a store is away.
"""

import math
import threading
import time
from collections.abc import Sequence
from functools import cache

from django.conf import settings
from django.db import connection

from accounts import selectors
from accounts.memory import Entry, SessionMemory
from accounts.people import CheckedSession, Person
from accounts.redis_sessions import BELIEVED_S, RedisSessions
from accounts.remembered import Remembered, RememberedPasswords
from accounts.stages import count_checks, observe_stage
from accounts.tokens import token_hash
from runtime.addresses import limited_as

_LOCKED_ADDRESSES_MOST = 10_000


class Sessions:
    """What one process knows of sessions, and how it finds out the rest. An address is locked for
    `locked_s` at the longest.
    """

    def __init__(
        self, *, redis: RedisSessions, password_memory_s: float, locked_s: float = math.inf
    ) -> None:
        self.memory = SessionMemory()
        self.redis = redis
        self.passwords = RememberedPasswords(seconds=password_memory_s)
        # Each with the second of `time.monotonic` by which it is not locked any more.
        self._locked_addresses: dict[str, float] = {}
        self._locked_s = locked_s
        # The ear and the event loop both change them.
        self._guard = threading.Lock()

    def check(self, token: str | bytes) -> Person | None:
        """The person, or None for a token that is no valid session's."""
        digest = token_hash(token)
        entry = self.memory.find(digest)
        return entry.person if entry is not None else self.check_stores([digest]).get(digest)

    def check_stores(self, digests: Sequence[bytes]) -> dict[bytes, Person]:
        """The people behind those hashes of tokens that are valid sessions' and that memory does
        not know; asks Redis once, and PostgreSQL once for the rest.

        Django's OperationalError or InterfaceError when neither can tell.
        """
        people = self._check_redis(digests) if self.memory.trusted else {}
        rest = [digest for digest in digests if digest not in people]
        if rest:
            people |= self.check_database(rest)
        return people

    def check_database(self, digests: Sequence[bytes]) -> dict[bytes, Person]:
        """The same from PostgreSQL alone: believed for a whole minute from now."""
        began_s = time.monotonic()
        sessions = _ask_database(digests)
        count_checks("database", len(digests))
        if self.memory.trusted:
            self.redis.put(sessions)
        for digest, session in sessions.items():
            self.memory.put(digest, session, began_s=began_s)
        return {digest: session.person for digest, session in sessions.items()}

    def renew(self, digests: Sequence[bytes]) -> None:
        """Have memory believe for another minute those of its sessions that PostgreSQL still says
        are valid, and forget the others. No use of a session.

        Django's OperationalError or InterfaceError when PostgreSQL is away.
        """
        began_s = time.monotonic()
        sessions = _ask_database(digests)
        if self.memory.trusted:
            self.redis.put(sessions)
        for digest in digests:
            self.memory.renew(digest, sessions.get(digest), began_s=began_s)

    def _check_redis(self, digests: Sequence[bytes]) -> dict[bytes, Person]:
        started_s = time.perf_counter()
        cached = self.redis.get(digests)
        stage = "cache_miss" if len(cached) < len(digests) else "cache_hit"
        observe_stage(stage, time.perf_counter() - started_s)
        people = {}
        for digest, session in cached.items():
            asked_s = _asked_s(session)
            # Redis may have been given again what was true before a change.
            if not self.memory.has_changed(session.person.user_id, since_s=asked_s):
                self.memory.put(digest, session, began_s=asked_s)
                people[digest] = session.person
        count_checks("redis", len(people))
        return people

    def login_from_memory(
        self, *, key: str, password: str, address: str
    ) -> tuple[Remembered, Entry] | None:
        """The session that was opened with this password a moment ago and is still valid, as what
        is remembered of the password and memory's own entry; None when that cannot be said without
        asking anybody.
        """
        if self.some_address_is_locked and limited_as(address) in self._locked_addresses:
            return None
        opened = self.passwords.opened(key=key, password=password)
        if opened is None:
            return None
        entry = self.memory.find(opened.token_hash)
        return None if entry is None else (opened, entry)

    @property
    def some_address_is_locked(self) -> bool:
        """Whether logins must be looked at by where they come from."""
        locked = self._locked_addresses
        if not locked:
            return False
        with self._guard:
            while locked and next(iter(locked.values())) <= time.monotonic():
                del locked[next(iter(locked))]
            return bool(locked)

    def heard(self, message: str) -> None:
        """Take a message of `accounts.changes` to heart."""
        what, _, which = message.partition(" ")
        if what == "user" and which.isdecimal():
            self.memory.forget_user(int(which))
            self.passwords.forget(int(which))
        elif what == "failure":
            self.passwords.forget_session(which)
        elif what == "lock":
            kind, _, subject = which.partition(" ")
            if kind == "account":
                self.passwords.forget_key(subject)
            else:
                self._lock_address(subject)

    def _lock_address(self, address: str) -> None:
        # From now on its logins ask PostgreSQL, which knows whether it is still locked.
        with self._guard:
            if len(self._locked_addresses) >= _LOCKED_ADDRESSES_MOST:
                self._locked_addresses.clear()
                self.passwords.clear()
            self._locked_addresses.pop(address, None)
            self._locked_addresses[address] = time.monotonic() + self._locked_s

    def distrust(self) -> None:
        """Changes may go unheard."""
        self.memory.distrust()
        self.passwords.clear()


def _asked_s(session: CheckedSession) -> float:
    """When PostgreSQL was asked for it, by `time.monotonic`; earlier for one that ends soon."""
    return time.monotonic() - max(0.0, time.time() + BELIEVED_S - session.until_s)


def _ask_database(digests: Sequence[bytes]) -> dict[bytes, CheckedSession]:
    started_s = time.perf_counter()
    connection.ensure_connection()
    connected_s = time.perf_counter()
    observe_stage("get_connection", connected_s - started_s)
    asked_at_s = time.time()
    people = selectors.people_by_token_hash(digests)
    observe_stage("database", time.perf_counter() - connected_s)
    believed_until_s = asked_at_s + BELIEVED_S
    return {
        digest: CheckedSession(person=person, until_s=min(believed_until_s, expires_at.timestamp()))
        for digest, (person, expires_at) in people.items()
    }


@cache
def process_sessions() -> Sessions:
    """What this process knows."""
    return Sessions(
        redis=RedisSessions(settings.CACHE_REDIS_URL, secret=settings.SECRET_KEY.encode()),
        password_memory_s=settings.ACCOUNT_PASSWORD_MEMORY_S,
        locked_s=settings.ACCOUNT_LOCKOUT_LONGEST_S,
    )


def session_check(*, token: str | bytes) -> Person | None:
    """Whose valid session the token is; None for anything else.

    Django's OperationalError or InterfaceError when PostgreSQL would have to be asked and is away.
    """
    return process_sessions().check(token)
