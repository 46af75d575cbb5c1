"""Verifying and encoding passwords, in the process's hashing threads.

Known formats are those of `PASSWORD_HASHERS`; all but the first are for passwords that came from
elsewhere, which are encoded anew when they are first verified.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from time import perf_counter
from typing import NamedTuple, TypeVar

from django.conf import settings
from django.contrib.auth.hashers import (
    get_hasher,
    identify_hasher,
    is_password_usable,
    make_password,
    verify_password,
)

from accounts.hashing import HashPool
from accounts.stages import observe_stage

Result = TypeVar("Result")


class Verdict(NamedTuple):
    """Whether a password is right, and how it should be encoded from now on, if otherwise."""

    correct: bool
    encoded_anew: str | None = None


@cache
def hash_pool() -> HashPool:
    """The hashing threads of this process."""
    threads: int = settings.ACCOUNT_HASHING_THREADS
    if not threads:
        # Every worker of a pool has its own.
        threads = max(1, (os.cpu_count() or 1) // settings.WEB_CONCURRENCY)
    return HashPool(threads=threads, waiting=settings.ACCOUNT_HASHING_WAITING)


def password_encode(password: str) -> str:
    """The password as it is stored. Have a place in `hash_pool()`."""
    return _timed(lambda: make_password(password))


def password_verify(password: str, encoded: str | None) -> Verdict:
    """Verify a password against what is stored; None for somebody who does not exist, which takes
    as long as a wrong password. Have a place in `hash_pool()`.
    """
    return _timed(lambda: _verify(password, encoded))


def _verify(password: str, encoded: str | None) -> Verdict:
    password = password.encode(errors="replace").decode()
    if encoded is None or not is_password_usable(encoded) or not _is_known(encoded):
        verify_password(password, _nobodys_password())
        return Verdict(False)
    correct, outdated = verify_password(password, encoded)
    if not correct:
        if identify_hasher(encoded).algorithm != get_hasher().algorithm:
            # Else a quick answer would tell whose password came from elsewhere.
            verify_password(password, _nobodys_password())
        return Verdict(False)
    return Verdict(True, make_password(password) if outdated else None)


def _is_known(encoded: str) -> bool:
    try:
        identify_hasher(encoded)
    except ValueError:
        return False
    return True


@cache
def _nobodys_password() -> str:
    return make_password(os.urandom(16).hex())


def _timed(work: Callable[[], Result]) -> Result:
    started_s = perf_counter()
    try:
        return hash_pool().run(work)
    finally:
        observe_stage("hash", perf_counter() - started_s)


class KeyedLocks:
    """A lock for each key that somebody holds or waits for."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """One at a time for each key."""
        with self._guard:
            lock, users = self._locks.get(key) or (threading.Lock(), 0)
            self._locks[key] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._locks[key]
                if users == 1:
                    del self._locks[key]
                else:
                    self._locks[key] = (lock, users - 1)
