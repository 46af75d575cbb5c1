"""What a pass of the drain adds up in memory: sums by minute, and the groups that may not count.

Pure. An increment belongs to the minute in which Redis appended its batch, so that reading the
same entry again gives the same buckets.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from counters.payload import Block, PayloadError, decode_payload
from runtime.stream import Entry

Sums = dict[bytes, int]
# Entries may come from a Redis without a clock, or from somebody who chose their ids.
_AT_MS_MAX = int(datetime(9000, 1, 1, tzinfo=UTC).timestamp()) * 1000


class Claim(NamedTuple):
    """A group that counts if its idempotency key is new."""

    idempotency_key: str
    at_ms: int
    block: Block


class Dead(NamedTuple):
    """An entry that cannot be read, and why."""

    entry: Entry
    detail: str


class Folded:
    """The sums of some entries. `minutes` maps a minute's start (s since the epoch) to its sums."""

    def __init__(self) -> None:
        self.minutes: dict[int, Sums] = {}
        self.claims: list[Claim] = []
        self.dead: list[Dead] = []
        self.increments = 0

    def add_entries(self, entries: Iterable[Entry]) -> None:
        """Add what needs no claim; keep claims and what cannot be read for later."""
        for entry in entries:
            try:
                if not entry.writer:
                    raise PayloadError("not written by this product")  # noqa: TRY301
                payload = decode_payload(entry.payload)
            except PayloadError as error:
                self.dead.append(Dead(entry, str(error)))
                continue
            at_ms = min(entry.at_ms, _AT_MS_MAX)
            self.add(payload.block, at_ms)
            self.claims += (Claim(key, at_ms, block) for key, block in payload.groups)

    def add(self, block: Block, at_ms: int) -> None:
        """Add a block to the minute of `at_ms`."""
        if not block.keys:
            return
        self.increments += block.increments
        sums = self.minutes.setdefault(at_ms // 60_000 * 60, {})
        get = sums.get
        for key, value in zip(block.keys, block.sums, strict=True):
            sums[key] = get(key, 0) + value

    def total(self) -> Sums:
        """The sums of all minutes; not to be changed."""
        return merged(self.minutes.values())

    def buckets(self, width_s: int) -> Iterator[tuple[int, Sums]]:
        """The sums by buckets of that width, the oldest first; not to be changed."""
        minutes: dict[int, list[Sums]] = {}
        for minute, sums in sorted(self.minutes.items()):
            minutes.setdefault(minute // width_s * width_s, []).append(sums)
        for start, parts in minutes.items():
            yield start, merged(parts)

    def take_back(self, excess: Mapping[bytes, int]) -> None:
        """Take off what was not applied after all, from the latest minutes first."""
        for key, value in excess.items():
            left = value
            for minute in sorted(self.minutes, reverse=True):
                sums = self.minutes[minute]
                taken = min(left, sums.get(key, 0))
                left -= taken
                if taken and taken == sums[key]:
                    del sums[key]
                elif taken:
                    sums[key] -= taken


def merged(parts: Iterable[Sums]) -> Sums:
    """The sum of sums; the very part, if there is only one."""
    several = list(parts)
    if len(several) == 1:
        return several[0]
    whole: Sums = {}
    get = whole.get
    for part in several:
        for key, value in part.items():
            whole[key] = get(key, 0) + value
    return whole
