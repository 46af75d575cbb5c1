"""Rate limits that all workers share: an atomic script in Redis, asked for many requests at once.

The rule is the generic cell rate algorithm, a token bucket in one number: Redis keeps, for each
subject (an address, an API key), the time at which its bucket will be full again. Requests that
arrive while the script runs wait for its next run and go to it together, so a worker has one round
trip under way, whatever its load. Redis's own clock is used: workers need not agree on the time.

A limiter that cannot ask lets everybody through. What it guards has bounds of its own, and a
cache that is down shall not stop what needs no cache.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha1

from prometheus_client import Counter

from runtime.metrics import new_counter
from runtime.redis_link import LinkError, RedisLink, ReplyError

log = logging.getLogger(__name__)

# Groups in one run: it holds Redis up, for some microseconds each.
_GROUPS_MOST = 500
# Requests of one worker that wait to be decided; more are let through.
WAITING_MOST = 10_000
_TIMEOUT_S = 0.25
# After a failure nobody waits for Redis for this long.
_PAUSE_S = 1.0

# ARGV: for each group, how many requests ask, how many subjects they have, and for each subject
# the microseconds a request costs and the microseconds a full bucket lasts. KEYS: the subjects, in
# the same order. Gives, for each group, how many may go, and the microseconds until another may.
SCRIPT = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local result, key, at = {}, 0, 1
while ARGV[at] do
  local asked, subjects = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local granted, wait, full = asked, 0, {}
  for i = 1, subjects do
    local cost, room = tonumber(ARGV[at + 2 * i]), tonumber(ARGV[at + 2 * i + 1])
    full[i] = math.max(tonumber(redis.call('GET', KEYS[key + i]) or 0), now)
    granted = math.min(granted, math.max(0, math.floor((now + room - full[i]) / cost)))
  end
  for i = 1, subjects do
    local cost, room = tonumber(ARGV[at + 2 * i]), tonumber(ARGV[at + 2 * i + 1])
    local later = full[i] + granted * cost
    if granted > 0 then
      local left_ms = math.ceil((later - now) / 1000) + 1
      redis.call('SET', KEYS[key + i], string.format('%.3f', later), 'PX', left_ms)
    end
    wait = math.max(wait, later + cost - room - now)
  end
  result[#result + 1] = granted
  result[#result + 1] = granted < asked and math.ceil(wait) or 0
  key, at = key + subjects, at + 2 + 2 * subjects
end
return result
"""


@dataclass(frozen=True)
class Rate:
    """At most `per_s` requests a second on the long run, and `burst` at once."""

    per_s: float
    burst: int

    def __post_init__(self) -> None:
        if not 0 < self.per_s <= 1_000_000 or self.burst < 1:
            raise ValueError(f"{self} is no rate: 0 < per_s ≤ 1 000 000, burst ≥ 1")

    @property
    def words(self) -> tuple[bytes, bytes]:
        """What a request costs and a full bucket lasts, in microseconds, for the script."""
        cost_us = 1e6 / self.per_s
        return b"%.6f" % cost_us, b"%.6f" % (cost_us * self.burst)


Subject = tuple[bytes, Rate]
# Told once: 0.0 to go on, or the seconds until it is worth trying again.
Decide = Callable[[float], None]
# Runs SCRIPT with keys and arguments; LinkError, ReplyError or TimeoutError when that fails.
Evaluate = Callable[[Sequence[bytes], Sequence[bytes]], Awaitable[Sequence[int]]]


@cache
def _unlimited() -> Counter:
    return new_counter(
        "ingest_unlimited_requests",
        "Requests that passed since their limits could not be asked for.",
    )


def count_unlimited(count: int) -> None:
    """Count requests that were let through undecided."""
    _unlimited().inc(count)


def evaluate_over(link: RedisLink) -> Evaluate:
    """Runs the script by its digest, and hands it over where Redis does not know it (any more)."""
    # The digest is a name here, and Redis's choice.
    digest = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

    async def evaluate(keys: Sequence[bytes], arguments: Sequence[bytes]) -> Sequence[int]:
        words: tuple[bytes | int, ...] = (len(keys), *keys, *arguments)
        try:
            verdict = await link.command("EVALSHA", digest, *words)
        except ReplyError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
            verdict = await link.command("EVAL", SCRIPT, *words)
        return list(verdict)

    return evaluate


class Limiter:
    """Decides requests, on the event loop of one worker.

    `evaluate` runs the script; `skipped` is called with the number of requests that were let
    through undecided.
    """

    def __init__(
        self, *, evaluate: Evaluate, skipped: Callable[[int], None], prefix: bytes = b"limit:"
    ) -> None:
        self._evaluate = evaluate
        self._skipped = skipped
        self._prefix = prefix
        self._waiting: dict[tuple[Subject, ...], list[Decide]] = {}
        self._count = 0
        self._task: asyncio.Task[None] | None = None
        self._paused_until_s = 0.0

    def ask(self, subjects: tuple[Subject, ...], decide: Decide) -> None:
        """Have a request decided; it needs a place in the bucket of each of its subjects.

        `decide` is called once, before this returns or later from the loop.
        """
        loop = asyncio.get_running_loop()
        if self._count >= WAITING_MOST or loop.time() < self._paused_until_s:
            self._skipped(1)
            decide(0.0)
            return
        self._waiting.setdefault(subjects, []).append(decide)
        self._count += 1
        if self._task is None:
            self._task = loop.create_task(self._run())

    async def stop(self) -> None:
        """Wait until everybody who asked was told."""
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        # One turn of the loop, so that all that arrived with the first request goes along.
        await asyncio.sleep(0)
        try:
            while self._waiting:
                await self._decide(self._take())
        finally:
            self._task = None

    def _take(self) -> list[tuple[tuple[Subject, ...], list[Decide]]]:
        groups = [(each, self._waiting.pop(each)) for each in list(self._waiting)[:_GROUPS_MOST]]
        self._count -= sum(len(decides) for _, decides in groups)
        return groups

    async def _decide(self, groups: list[tuple[tuple[Subject, ...], list[Decide]]]) -> None:
        keys, arguments = [], []
        for subjects, decides in groups:
            arguments += [b"%d" % len(decides), b"%d" % len(subjects)]
            for name, rate in subjects:
                keys.append(self._prefix + name)
                arguments += rate.words
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                verdict = await self._evaluate(keys, arguments)
        except (LinkError, ReplyError, TimeoutError) as error:
            self._paused_until_s = asyncio.get_running_loop().time() + _PAUSE_S
            count = sum(len(decides) for _, decides in groups)
            log.warning("rate limits cannot be asked for, requests pass: %s", error)
            self._skipped(count)
            verdict = [count, 0] * len(groups)
        for number, (_, decides) in enumerate(groups):
            granted, wait_us = verdict[2 * number : 2 * number + 2]
            for place, decide in enumerate(decides):
                try:
                    decide(0.0 if place < granted else max(wait_us / 1e6, 0.001))
                except Exception:
                    log.exception("a request whose rate was looked at could not go on")
