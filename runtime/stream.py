"""The durable log of one shard of ingest: a Redis stream of batches.

An entry holds `w`, the writer's id; `s`, the number of the batch among those of its writer,
counted from 1; and `b`, the payload, which only its domain reads. A writer sends one batch at a
time and, when it cannot know whether Redis has it, the same batch again under the same number. So
a batch may be in the stream twice, and whoever reads keeps the highest number it has applied of
each writer and passes over what is not above it.
"""

import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import redis

from runtime.redis_where import RedisClient

WRITER_BYTES = 16
_SEQ_DIGITS = 18
# How many entries are asked for at first; then as many as should fit into what is left.
_FIRST_COUNT = 16

# Removes what was read, unless the stream is no longer the one that was read: after a failover, or
# a Redis that lost its last writes, other entries may stand at those ids.
_TRIM = """
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
local last = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])
if first[1] == nil or first[1][1] ~= ARGV[1] or last[1] == nil then
  return 0
end
return redis.call('XTRIM', KEYS[1], 'MINID', ARGV[3])
"""


def stream_key(name: str, shard: int) -> str:
    """The Redis key of a shard; the braces keep all of it in one slot of a cluster."""
    return f"adhouse:{{{name}:{shard}}}:log"


def new_writer() -> bytes:
    """An id that no other writer has."""
    return os.urandom(WRITER_BYTES)


def append_words(key: str, writer: bytes, seq: int, payload: bytes) -> tuple[str | bytes, ...]:
    """The command that appends one batch."""
    return ("XADD", key, "*", "w", writer, "s", str(seq), "b", payload)


class Entry(NamedTuple):
    """One batch as it stands in the stream. `at_ms` is Redis's clock when it was appended.

    An entry that no writer of ours made has an empty `writer`, and all its fields as payload.
    """

    id: bytes
    at_ms: int
    writer: bytes
    seq: int
    payload: bytes


class Stream:
    """One shard, as drains see it. Every method may raise redis.RedisError."""

    def __init__(self, client: RedisClient, key: str) -> None:
        self._client: Any = client
        self.key = key

    def read(self, count: int, bytes_max: int) -> list[Entry]:
        """The oldest entries, in order: at most `count`, and no more once their payloads have
        passed `bytes_max`.
        """
        entries: list[Entry] = []
        size_bytes, start, ask = 0, b"-", min(count, _FIRST_COUNT)
        while ask > 0:
            raw = self._client.xrange(self.key, start, "+", count=ask)
            entries += [_entry(each, fields) for each, fields in raw]
            if len(raw) < ask:
                break
            size_bytes += sum(len(entry.payload) for entry in entries[-len(raw) :])
            start = b"(" + entries[-1].id
            mean_bytes = size_bytes // len(entries) + 1
            ask = min(count - len(entries), max(0, bytes_max - size_bytes) // mean_bytes)
        return entries

    def trim(self, first_id: bytes, last_id: bytes) -> bool:
        """Remove the entries from `first_id`, the oldest one, to `last_id`; False when the
        stream is no longer the one that held them.
        """
        at_ms, _, number = last_id.partition(b"-")
        beyond = b"%b-%d" % (at_ms, int(number) + 1)
        return bool(self._client.eval(_TRIM, 1, self.key, first_id, last_id, beyond))

    def length(self) -> int:
        """How many entries wait."""
        return int(self._client.xlen(self.key))

    def size_bytes(self) -> int:
        """What the stream takes of Redis's memory, as Redis estimates it."""
        return int(self._client.memory_usage(self.key) or 0)

    def oldest_ms(self) -> int | None:
        """When the oldest entry was appended, by Redis's clock; None when none waits."""
        raw = self._client.xrange(self.key, "-", "+", count=1)
        return _at_ms(raw[0][0]) if raw else None


class AppendError(Exception):
    """The batch may be in the stream or not: Redis did not say so in time."""


class Appender:
    """Appends from a command: one batch at a time, again and again until Redis says it has it."""

    def __init__(self, client: RedisClient, key: str, *, deadline_s: float = 30.0) -> None:
        self._client: Any = client
        self._key = key
        self._deadline_s = deadline_s
        self._writer = new_writer()
        self._seq = 0

    def append(self, payload: bytes) -> bytes:
        """Append one batch, which counts once however often it was sent; gives the entry's id.

        AppendError after `deadline_s`: whether it will count is unknown. The next batch is then
        another writer's.
        """
        self._seq += 1
        words = append_words(self._key, self._writer, self._seq, payload)
        give_up_s = time.monotonic() + self._deadline_s
        while True:
            try:
                appended: bytes = self._client.execute_command(*words)
            except (redis.RedisError, OSError) as error:
                if time.monotonic() > give_up_s:
                    self._writer, self._seq = new_writer(), 0
                    raise AppendError(str(error)) from error
                time.sleep(0.1)
            else:
                return appended


def _at_ms(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


def _entry(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    writer, seq, payload = fields.get(b"w", b""), fields.get(b"s", b""), fields.get(b"b")
    # What PostgreSQL could not note as writer and number is not ours either.
    ours = 0 < len(writer) <= WRITER_BYTES and seq.isdigit() and len(seq) <= _SEQ_DIGITS
    if not ours or payload is None:
        foreign = b"\n".join(b"%b: %b" % pair for pair in fields.items())
        return Entry(entry_id, _at_ms(entry_id), b"", 0, foreign)
    return Entry(entry_id, _at_ms(entry_id), writer, int(seq), payload)
