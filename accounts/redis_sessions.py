"""Sessions in Redis: what one process has asked PostgreSQL, the others need not ask for a minute.

Each is one key, by the token's hash, set and given its end in one command, many in one script. A
change overwrites it with a mark that means "ask PostgreSQL" and that nothing is written over while
it stands: whoever read PostgreSQL before the change and writes after it comes to nothing. Values
are sealed, since who can write to Redis should not be able to become anybody.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from hmac import compare_digest
from typing import Any

import msgspec
import redis

from accounts.people import CheckedSession

BELIEVED_S = 60
_CHANGED = b"-"
_PREFIX = b"accounts:session:"
_TIMEOUT_S = 0.25
# After a failure nothing is asked for this long: a dead Redis must not slow every check.
_PAUSE_S = 1.0
_SEAL_BYTES = 16

# ARGV: for each key its value, and the milliseconds that it stands.
_PUT = """
for i, key in ipairs(KEYS) do
  if redis.call('GET', key) ~= '-' then
    redis.call('SET', key, ARGV[2 * i - 1], 'PX', ARGV[2 * i])
  end
end
"""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(CheckedSession).decode


class RedisSessions:
    """The sessions in one Redis. Never raises because Redis is away: PostgreSQL knows as well."""

    def __init__(self, url: str, *, secret: bytes) -> None:
        self._client = redis.Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, retry=None
        )
        self._put = self._client.register_script(_PUT)
        self._key = blake2b(secret, digest_size=32, person=b"accounts:session").digest()
        self._paused_until_s = 0.0

    def get(self, token_hashes: Sequence[bytes]) -> dict[bytes, CheckedSession]:
        """Those of the sessions that are there and still to be believed."""
        if time.monotonic() < self._paused_until_s:
            return {}
        try:
            values: Any = self._client.mget([_key(token_hash) for token_hash in token_hashes])
        except (redis.RedisError, OSError):
            self._pause()
            return {}
        now_s = time.time()
        found = {}
        for token_hash, value in zip(token_hashes, values, strict=True):
            session = self._open(token_hash, value) if value else None
            if session is not None and session.until_s > now_s:
                found[token_hash] = session
        return found

    def put(self, sessions: Mapping[bytes, CheckedSession]) -> None:
        """Keep what PostgreSQL has said of each token hash, unless it has changed."""
        if not sessions or time.monotonic() < self._paused_until_s:
            return
        now_s = time.time()
        keys: list[bytes] = []
        values: list[bytes | int] = []
        for token_hash, session in sessions.items():
            keys.append(_key(token_hash))
            remaining_ms = int((session.until_s - now_s) * 1000)
            values += [self._seal(token_hash, session), max(1, remaining_ms)]
        try:
            self._put(keys, values)
        except (redis.RedisError, OSError):
            self._pause()

    def mark_changed(self, token_hashes: Iterable[bytes]) -> bool:
        """Have PostgreSQL asked about these sessions; False when Redis did not take it."""
        pipe = self._client.pipeline(transaction=False)
        for token_hash in token_hashes:
            # Twice as long as anything that was read before may still be on its way.
            pipe.set(_key(token_hash), _CHANGED, ex=2 * BELIEVED_S)
        try:
            pipe.execute()
        except (redis.RedisError, OSError):
            self._pause()
            return False
        return True

    def stop(self) -> None:
        """Close the connections."""
        self._client.close()

    def _pause(self) -> None:
        self._paused_until_s = time.monotonic() + _PAUSE_S

    def _seal(self, token_hash: bytes, session: CheckedSession) -> bytes:
        text = _encode(session)
        return self._digest(token_hash, text) + text

    def _open(self, token_hash: bytes, value: bytes) -> CheckedSession | None:
        seal, text = value[:_SEAL_BYTES], value[_SEAL_BYTES:]
        if not compare_digest(seal, self._digest(token_hash, text)):
            return None
        try:
            return _decode(text)
        except msgspec.DecodeError:
            return None  # Written by another version.

    def _digest(self, token_hash: bytes, text: bytes) -> bytes:
        return blake2b(token_hash + text, key=self._key, digest_size=_SEAL_BYTES).digest()


def _key(token_hash: bytes) -> bytes:
    return _PREFIX + token_hash.hex().encode()
