"""The cache of totals in Redis: written through by the drain, and honest about its age.

Each transaction that changes totals has a number in its stream (`TotalsPass`). After the commit its
totals are written here, and then a *mark* for the stream: that number, and until when everything
accepted is counted. A publisher that does not find the number before its own has missed one, by a
crash or because Redis was away; it then begins a new *epoch*. Every total carries the epoch that it
was written in, and one of another epoch is not read. So a total of the current epoch holds
everything that was accepted until the oldest of the marks, however long ago it was written itself.

Totals only grow, so of two that meet the larger one is newer: nobody has to write in order.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from logging import getLogger
from typing import Any, NamedTuple, TypeVar

import redis
from django.conf import settings

from runtime.redis_where import open_redis
from runtime.stream import stream_key

log = getLogger(__name__)
Part = TypeVar("Part")

KEY_PREFIX = "adhouse:counter:"
EPOCH_KEY = "adhouse:counters:epoch"
_MARK_PREFIX = "adhouse:counters:mark:"
KEPT_S = 3_600
_TIMEOUT_S = 1.0
# While Redis is away every try would hold up a pass of the drain.
_PAUSE_S = 5.0
# A script holds up everybody else: 2 ms each.
_PUT_MAX = 1_000

# Gives the epoch to write totals in; false when a later transaction was published already.
_BEGIN = """
local mark = redis.call('GET', KEYS[2])
local known = mark and tonumber(string.match(mark, '^%d+'))
local before, number = tonumber(ARGV[1]), tonumber(ARGV[2])
if known and known > number or known == number and before < number then
  return false
end
local epoch = redis.call('GET', KEYS[1])
if not epoch or known ~= before then
  epoch = ARGV[3]
  redis.call('SET', KEYS[1], epoch)
end
return epoch
"""
_END = """
local mark = redis.call('GET', KEYS[1])
local number, until_ms = ARGV[1], ARGV[2]
if mark then
  local known, known_ms = string.match(mark, '^(%d+):(%d+)$')
  if tonumber(known) > tonumber(number)
     or tonumber(known) == tonumber(number) and tonumber(known_ms) > tonumber(until_ms) then
    return 0
  end
end
redis.call('SET', KEYS[1], number .. ':' .. until_ms)
return 1
"""
# Numbers as text: Lua's own lose digits beyond 2^53.
_PUT = """
local epoch = ARGV[1] .. ':'
for i, key in ipairs(KEYS) do
  local value, known = ARGV[i + 2], redis.call('GET', key)
  if known and string.sub(known, 1, #epoch) == epoch then
    known = string.sub(known, #epoch + 1)
    if #known > #value or #known == #value and known > value then
      value = known
    end
  end
  redis.call('SET', key, epoch .. value, 'EX', ARGV[2])
end
"""
_REMOVE = """
local removed = 0
for i, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[i] then
    removed = removed + redis.call('DEL', key)
  end
end
return removed
"""


class Mark(NamedTuple):
    """All transactions of a stream up to `number` are published; they count everything that was
    accepted until `until_ms`.
    """

    number: int
    until_ms: int


class View(NamedTuple):
    """What the cache knows: its epoch, the marks by stream, and raw totals in the order asked."""

    epoch: str | None
    marks: dict[str, Mark]
    raw: list[bytes | None]

    def value(self, position: int) -> int | None:
        """The total at that position, None unless it is of this epoch."""
        raw = self.raw[position]
        if raw is None or self.epoch is None:
            return None
        epoch, _, value = raw.decode().partition(":")
        return int(value) if epoch == self.epoch else None

    @property
    def until_ms(self) -> int | None:
        """Until when totals of this epoch count everything; None while a stream has no mark."""
        if self.epoch is None or not self.marks:
            return None
        marks = [self.marks.get(stream) for stream in streams()]
        return None if None in marks else min(mark.until_ms for mark in marks if mark)


class TotalsCache:
    """Totals in Redis. `read`, `fill`, `remove` raise redis.RedisError; publishing never does:
    what it misses shows in the numbers.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        client = open_redis(url, timeout_s=_TIMEOUT_S)
        self.client: Any = client
        self._begin, self._end = client.register_script(_BEGIN), client.register_script(_END)
        self._put, self._remove = client.register_script(_PUT), client.register_script(_REMOVE)
        self._clock = clock
        self._paused_until_s = 0.0

    def read(self, keys: Sequence[bytes]) -> View:
        """The totals of counters (16 bytes each), with what is needed to judge them."""
        wanted = streams()
        names = [EPOCH_KEY, *map(_mark_key, wanted), *map(total_key, keys)]
        epoch, *values = self.client.mget(names)
        marks = {
            stream: Mark(*map(int, raw.split(b":")))
            for stream, raw in zip(wanted, values, strict=False)
            if raw is not None
        }
        return View(epoch and epoch.decode(), marks, values[len(wanted) :])

    def fill(self, totals: Mapping[bytes, int], epoch: str) -> None:
        """Keep totals that were read from PostgreSQL after `epoch` was read from here."""
        for keys in _parts(totals):
            names = [total_key(key) for key in keys]
            self._put(keys=names, args=[epoch, KEPT_S, *(totals[key] for key in keys)])

    def publish(self, stream: str, totals: Mapping[bytes, int], *, before: int, mark: Mark) -> bool:
        """Write the totals of one transaction, then its mark; whether that was done.

        `before` is the number of the transaction before it; the same as the mark's when nothing
        changed but the time.
        """
        if self._clock() < self._paused_until_s:
            return False
        try:
            return self._publish(stream, totals, before, mark)
        except (redis.RedisError, OSError) as error:
            self._paused_until_s = self._clock() + _PAUSE_S
            log.warning("totals are not written through for now: %s", error)
            return False

    def _publish(self, stream: str, totals: Mapping[bytes, int], before: int, mark: Mark) -> bool:
        name = _mark_key(stream)
        fresh = secrets.token_hex(4)
        epoch = self._begin(keys=[EPOCH_KEY, name], args=[before, mark.number, fresh])
        if epoch is None:
            return False
        self.fill(totals, epoch.decode())
        return bool(self._end(keys=[name], args=[mark.number, mark.until_ms]))

    def remove(self, found: Mapping[str, bytes]) -> int:
        """Remove cached totals by their Redis key, if they still are what was found; how many."""
        removed = 0
        for names in _parts(found):
            removed += int(self._remove(keys=names, args=[found[name] for name in names]))
        return removed

    def forget(self) -> None:
        """Begin anew: no cached total and no mark counts any more."""
        self.client.delete(EPOCH_KEY, *map(_mark_key, streams()))


@cache
def totals_cache() -> TotalsCache:
    """The cache of this process."""
    return TotalsCache(settings.CACHE_REDIS_URL)


def streams() -> list[str]:
    """The streams of all shards, in order."""
    return [stream_key("counters", shard) for shard in range(settings.COUNTERS_SHARDS)]


def total_key(key: bytes) -> str:
    """Where the total of a counter is cached."""
    return KEY_PREFIX + key.hex()


def _parts(keys: Iterable[Part]) -> Iterator[list[Part]]:
    """As many at a time as a script takes."""
    several = list(keys)
    for start in range(0, len(several), _PUT_MAX):
        yield several[start : start + _PUT_MAX]


def _mark_key(stream: str) -> str:
    return _MARK_PREFIX + stream
