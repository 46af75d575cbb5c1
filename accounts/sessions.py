"""Whose session a token is: from this process's memory, else from Redis, else from PostgreSQL.

The caches are used only while this process hears of changes, see `accounts.keeper`; otherwise every
check asks PostgreSQL, and nobody is let in because a store is away.
"""

import time
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
    """What one process knows of sessions, and how it finds out the rest."""

    def __init__(self, *, redis: RedisSessions, password_memory_s: float) -> None:
        self.memory = SessionMemory()
        self.redis = redis
        self.passwords = RememberedPasswords(seconds=password_memory_s)
        self._locked_addresses: dict[str, None] = {}

    def check(self, token: str | bytes) -> Person | None:
        """The person, or None for a token that is no valid session's."""
        digest = token_hash(token)
        entry = self.memory.find(digest)
        return entry.person if entry is not None else self.check_stores(digest)

    def check_stores(self, digest: bytes) -> Person | None:
        """The same for the hash of a token that memory does not know; asks Redis and PostgreSQL.

        Django's OperationalError or InterfaceError when neither can tell.
        """
        cached = self._ask_redis(digest) if self.memory.trusted else None
        if cached is not None:
            asked_s = _asked_s(cached)
            # Redis may have been given again what was true before a change.
            if not self.memory.has_changed(cached.person.user_id, since_s=asked_s):
                self.memory.put(digest, cached, began_s=asked_s)
                count_checks("redis")
                return cached.person
        return self.check_database(digest)

    def check_database(self, digest: bytes) -> Person | None:
        """The same from PostgreSQL alone: believed for a whole minute from now."""
        began_s = time.monotonic()
        session = _ask_database(digest)
        count_checks("database")
        if session is None:
            return None
        if self.memory.trusted:
            self.redis.put(digest, session)
        self.memory.put(digest, session, began_s=began_s)
        return session.person

    def _ask_redis(self, digest: bytes) -> CheckedSession | None:
        started_s = time.perf_counter()
        cached = self.redis.get(digest)
        stage = "cache_miss" if cached is None else "cache_hit"
        observe_stage(stage, time.perf_counter() - started_s)
        return cached

    def login_from_memory(
        self, *, key: str, password: str, address: str
    ) -> tuple[Remembered, Entry] | None:
        """The session that was opened with this password a moment ago and is still valid, as what
        is remembered of the password and memory's own entry; None when that cannot be said without
        asking anybody.
        """
        if self._locked_addresses and limited_as(address) in self._locked_addresses:
            return None
        opened = self.passwords.opened(key=key, password=password)
        if opened is None:
            return None
        entry = self.memory.find(opened.token_hash)
        return None if entry is None else (opened, entry)

    @property
    def some_address_is_locked(self) -> bool:
        """Whether logins must be looked at by where they come from."""
        return bool(self._locked_addresses)

    def heard(self, message: str) -> None:
        """Take a message of `accounts.changes` to heart."""
        what, _, which = message.partition(" ")
        if what == "user" and which.isdecimal():
            self.memory.forget_user(int(which))
            self.passwords.forget(int(which))
        elif what == "lock":
            kind, _, subject = which.partition(" ")
            if kind == "account":
                self.passwords.forget_key(subject)
            else:
                self._lock_address(subject)

    def _lock_address(self, address: str) -> None:
        # From now on its logins ask PostgreSQL, which knows whether it is still locked.
        if len(self._locked_addresses) >= _LOCKED_ADDRESSES_MOST:
            self._locked_addresses.clear()
            self.passwords.clear()
        self._locked_addresses[address] = None

    def distrust(self) -> None:
        """Changes may go unheard."""
        self.memory.distrust()
        self.passwords.clear()


def _asked_s(session: CheckedSession) -> float:
    """When PostgreSQL was asked for it, by `time.monotonic`; earlier for one that ends soon."""
    return time.monotonic() - max(0.0, time.time() + BELIEVED_S - session.until_s)


def _ask_database(digest: bytes) -> CheckedSession | None:
    started_s = time.perf_counter()
    connection.ensure_connection()
    connected_s = time.perf_counter()
    observe_stage("get_connection", connected_s - started_s)
    asked_at_s = time.time()
    found = selectors.person_by_token_hash(digest)
    observe_stage("database", time.perf_counter() - connected_s)
    if found is None:
        return None
    person, expires_at = found
    until_s = min(asked_at_s + BELIEVED_S, expires_at.timestamp())
    return CheckedSession(person=person, until_s=until_s)


@cache
def process_sessions() -> Sessions:
    """What this process knows."""
    return Sessions(
        redis=RedisSessions(settings.CACHE_REDIS_URL, secret=settings.SECRET_KEY.encode()),
        password_memory_s=settings.ACCOUNT_PASSWORD_MEMORY_S,
    )


def session_check(*, token: str | bytes) -> Person | None:
    """Whose valid session the token is; None for anything else.

    Django's OperationalError or InterfaceError when PostgreSQL would have to be asked and is away.
    """
    return process_sessions().check(token)
