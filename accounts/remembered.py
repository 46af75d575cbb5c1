"""Passwords that were verified a moment ago, so that they need no hash again. Pure.

What is kept is a digest under a random key of this process, together with the stored encoding that
it was verified against: another password stored makes it worthless. It never leaves the process.
"""

import secrets
import threading
import time
from collections.abc import Callable
from hashlib import blake2b
from hmac import compare_digest
from typing import NamedTuple

from accounts.tokens import token_hash

_MOST = 100_000


class Remembered(NamedTuple):
    """A verified password, and the session that was opened with it, if any."""

    user_id: int
    encoded: str
    digest: bytes
    until_s: float
    token: str
    token_hash: bytes


class RememberedPasswords:
    """Verified passwords by username key. Safe to use from any thread."""

    def __init__(
        self, *, seconds: float, most: int = _MOST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._key = secrets.token_bytes(32)
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        # In the order in which they end: all live equally long.
        self._memories: dict[str, Remembered] = {}
        self._names: dict[int, str] = {}

    def remember(
        self, *, key: str, user_id: int, encoded: str, password: str, token: str = ""
    ) -> None:
        """`password` is right for the account `key`, and stored as `encoded`; with it the session
        of `token` was opened. Without a token, the one of the same password a moment ago stays.
        """
        if self._seconds <= 0:
            return
        digest = self._digest(encoded, password)
        with self._lock:
            until_s = self._clock() + self._seconds
            before = self._memories.pop(key, None)
            if not token and before is not None and compare_digest(before.digest, digest):
                token = before.token
            hashed = token_hash(token) if token else b""
            self._memories[key] = Remembered(user_id, encoded, digest, until_s, token, hashed)
            self._names[user_id] = key
            self._drop_old()

    def knows(self, *, key: str, encoded: str, password: str) -> bool:
        """Whether this password was verified a moment ago against this very encoding."""
        memory = self._memories.get(key)
        return (
            memory is not None
            and memory.encoded == encoded
            and memory.until_s > self._clock()
            and self._is_right(memory, password)
        )

    def may_know(self, *, key: str, password: str) -> bool:
        """Whether it is worth finding out what is stored now, and asking `knows`. Of a wrong
        password that takes no longer than of a name that was never heard.
        """
        memory = self._memories.get(key)
        return memory is not None and self._is_right(memory, password)

    def opened(self, *, key: str, password: str) -> Remembered | None:
        """The session that was opened with this password a moment ago.

        Whether that session still holds is for the caller to find out.
        """
        memory = self._memories.get(key)
        if memory is None or not memory.token or not self._is_right(memory, password):
            return None
        return memory if memory.until_s > self._clock() else None

    def left_s(self, key: str, memory: Remembered) -> float:
        """For how long what `opened` gave holds; 0 or less when it does not any more."""
        return memory.until_s - self._clock() if self._memories.get(key) is memory else 0.0

    def forget(self, user_id: int) -> None:
        """Something about this user has changed."""
        with self._lock:
            key = self._names.pop(user_id, None)
            if key is not None:
                self._memories.pop(key, None)

    def forget_session(self, key: str) -> None:
        """Somebody failed to log in to this account: the password still needs no hash, but the next
        login with it has to be noted.
        """
        with self._lock:
            if (memory := self._memories.get(key)) is not None:
                self._memories[key] = memory._replace(token="", token_hash=b"")

    def forget_key(self, key: str) -> None:
        """This account was locked."""
        with self._lock:
            memory = self._memories.pop(key, None)
            if memory is not None:
                self._names.pop(memory.user_id, None)

    def clear(self) -> None:
        """Forget all: something may have changed that was not heard of."""
        with self._lock:
            self._memories.clear()
            self._names.clear()

    def _is_right(self, memory: Remembered, password: str) -> bool:
        return compare_digest(memory.digest, self._digest(memory.encoded, password))

    def _digest(self, encoded: str, password: str) -> bytes:
        text = f"{encoded}\n{password}".encode(errors="replace")
        return blake2b(text, key=self._key, digest_size=32).digest()

    def _drop_old(self) -> None:
        now_s = self._clock()
        while self._memories:
            key, memory = next(iter(self._memories.items()))
            if memory.until_s > now_s and len(self._memories) <= self._most:
                break
            del self._memories[key]
            self._names.pop(memory.user_id, None)
