"""The writer's loop: what waits in the streams goes into the store, once a second or sooner.

Several processes may run it: each stream is drained by one of them, and the others stand by. What
a process had in hand when it died is in the stream still, so another one just goes on.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from logging import getLogger

import redis

from runtime.drain import Drained
from runtime.stream import Stream
from timeseries.metrics import count_failure, count_written
from timeseries.records import StoreAwayError
from timeseries.stores.base import StoreWriter

log = getLogger(__name__)

# How often a waiting writer looks whether it should begin early.
_LOOK_S = 0.1
# What a failed attempt is followed by: not at once, and soon enough for a lag of two seconds.
_PAUSE_S = 0.5
_AWAY = (StoreAwayError, redis.RedisError, OSError)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often to drain: every `interval_s`, or as soon as a stream takes `much_bytes`."""

    interval_s: float = 1.0
    much_bytes: int = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a writer has done since it began, and where it stands.

    `lag_s` is the age of the oldest entry that the last pass stored, 0 when nothing waited.
    `streams` is how many it drains, the others being somebody else's. `trouble` says, for people,
    what is in the way, and is empty otherwise.
    """

    entries: int = 0
    repeated: int = 0
    streams: int = 0
    lag_s: float = 0.0
    trouble: str = ""


class Draining:
    """Drains `streams` with `writer`; `report` hears of every pass.

    `wait` sleeps for so many seconds, or less, and tells whether it is time to stop.
    """

    def __init__(
        self,
        *,
        writer: StoreWriter,
        streams: Sequence[Stream],
        wait: Callable[[float], bool],
        report: Callable[[Progress], None],
        pace: Pace | None = None,
    ) -> None:
        self._writer = writer
        self._streams = streams
        self._wait = wait
        self._report = report
        self._pace = pace or Pace()
        self.progress = Progress()
        self._looked_s = time.monotonic()

    def silent_s(self) -> float:
        """Seconds since the last pass began or a look was taken; many when this hangs."""
        return time.monotonic() - self._looked_s

    def run(self) -> None:
        """Drain until told to stop; then take once more what waits."""
        while not self._wait(0):
            if not self.drain_all():
                self._rest()
        self.drain_all()

    def drain_all(self) -> bool:
        """One pass over all streams; True when there is more to do at once."""
        self._looked_s = time.monotonic()
        try:
            done = [self._drain(stream) for stream in self._streams]
        except _AWAY as error:
            self._break_off(str(error))
            return False
        if self.progress.trouble:
            log.info("writing again")
        self.progress = replace(
            self.progress,
            streams=sum(not each.standby for each in done),
            lag_s=max((each.lag_s for each in done), default=0.0),
            trouble="",
        )
        self._report(self.progress)
        return any(each.more for each in done)

    def _drain(self, stream: Stream) -> "_Pass":
        oldest_ms = stream.oldest_ms()
        began_s = time.monotonic()
        drained = self._writer.drain(stream)
        if drained.applied:
            count_written(stream.key, drained.applied, time.monotonic() - began_s)
        self.progress = replace(
            self.progress,
            entries=self.progress.entries + drained.applied,
            repeated=self.progress.repeated + drained.repeated,
        )
        return _Pass.of(drained, oldest_ms)

    def _break_off(self, trouble: str) -> None:
        count_failure()
        if not self.progress.trouble:
            log.warning("cannot write: %s", trouble)
        self.progress = replace(self.progress, trouble=trouble)
        self._report(self.progress)

    def _rest(self) -> None:
        """Wait for the next pass, or less when much comes in."""
        if self.progress.trouble:
            self._wait(_PAUSE_S)
            return
        for _ in range(max(1, round(self._pace.interval_s / _LOOK_S))):
            if self._wait(_LOOK_S) or self._much():
                return
            self._looked_s = time.monotonic()

    def _much(self) -> bool:
        try:
            return any(s.size_bytes() >= self._pace.much_bytes for s in self._streams)
        except (redis.RedisError, OSError):
            return False  # The next pass says so.


@dataclass(frozen=True, kw_only=True)
class _Pass:
    """One stream's part of a pass."""

    standby: bool
    more: bool
    lag_s: float

    @classmethod
    def of(cls, drained: Drained, oldest_ms: int | None) -> "_Pass":
        stored = oldest_ms is not None and drained.at_ms is not None
        lag_s = max(0.0, time.time() - oldest_ms / 1000) if stored and oldest_ms else 0.0
        return cls(standby=drained.standby, more=drained.more, lag_s=lag_s)
