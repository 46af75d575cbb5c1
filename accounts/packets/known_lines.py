"""Lines that were answered from memory a moment ago, so that the same line needs no reading again.

A client that validates a token says the same bytes each time. What is kept is a digest of the line
under a random key of this process: neither tokens nor passwords. Measured: VALIDATE 2.7 µs without
this, LOGIN 5.6 µs; 1.5 µs either way with it. Pure.
"""

import secrets
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

_LINES_MOST = 100_000
# Longer ones are rare, and their digest would cost more than it saves.
_BYTES_MOST = 400


class KnownLine(NamedTuple):
    """What a line was answered with, and whether that still is the answer."""

    format: str
    answer: bytes
    holds: Callable[[], bool]


class KnownLines:
    """For one event loop."""

    def __init__(self, *, most: int = _LINES_MOST) -> None:
        self._digest = blake2b(key=secrets.token_bytes(32), digest_size=16).copy
        self._most = most
        self._lines: dict[bytes, KnownLine] = {}

    def find(self, line: bytes) -> KnownLine | None:
        """What the line was answered with, if that still holds."""
        if len(line) > _BYTES_MOST:
            return None
        digest = self._digest()
        digest.update(line)
        known = self._lines.get(digest.digest())
        return known if known is not None and known.holds() else None

    def remember(self, line: bytes, known: KnownLine) -> None:
        """The line was answered so. All are forgotten when there are too many."""
        if len(line) > _BYTES_MOST:
            return
        if len(self._lines) >= self._most:
            self._lines.clear()
        digest = self._digest()
        digest.update(line)
        self._lines[digest.digest()] = known
