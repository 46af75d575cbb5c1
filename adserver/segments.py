"""What visitors with the same attributes get: a total, and the first ads in order.

A segment is worked out once from the blocks and then kept true by the events that concern it, one
by one as they happen or later in a replay. Most visitors look at the first page, so few ads are
kept until somebody looks further.
"""

from bisect import bisect_left
from collections.abc import Iterable
from operator import attrgetter

from adserver.blocks import Conditions, Entry, OrderedBlocks
from adserver.events import LEFT, Events

# First ads kept per segment, and, for a segment of which more were asked once, most of them. When
# exits leave less than the share, they are read from the blocks again.
FRONT_ADS, FRONT_ADS_MOST = 40, 160
_FRONT_SHARE = 5 / 8
# Beyond all keys there are.
_ALL_KEYS = 1 << 256
_key, _json = attrgetter("key"), attrgetter("json")


class Segment:
    """One segment, true after `seen` events; `complete` says that the front is all there is.
    `visitor` is a `targeting.visitor_code`, `slot` its place among the audiences.

    Changed only by who holds the index's lock. Others may read it meanwhile: what they took is
    good if `seen` was the same before and after.
    """

    __slots__ = (
        "complete",
        "conditions",
        "front",
        "keys",
        "reach",
        "seen",
        "size",
        "slot",
        "total",
        "visitor",
    )

    def __init__(
        self, visitor: int, conditions: Conditions, live: OrderedBlocks, *, size: int, seen: int
    ) -> None:
        self.visitor = visitor
        self.conditions = conditions
        self.size = size
        self.slot = -1
        self._read(live)
        self.seen = seen

    def _read(self, live: OrderedBlocks) -> None:
        found = live.matching(self.conditions)
        self.total = sum(map(int.bit_count, found))
        entries = live.page(found, 0, self.size)
        self.keys = list(map(_key, entries))
        self.front = list(map(_json, entries))
        self.settle()

    def settle(self) -> bool:
        """See how far the front reaches: what comes after its last ad concerns the total only.
        False when it has become too short, and is to be read again.
        """
        self.complete = len(self.keys) == self.total
        if self.complete:
            self.reach = _ALL_KEYS
            return True
        self.reach = self.keys[-1] if self.keys else 0
        return len(self.keys) >= self.size * _FRONT_SHARE

    def replay(self, events: Events, first: int, live: OrderedBlocks, *, seen: int) -> None:
        """Bring it up to date by the events from number `first` on; `live` is what they led to."""
        news = events.after(first, self.conditions)
        if news:
            self.seen = -1
            for change, entry in news:
                self.total += change
                if entry.key <= self.reach:
                    self.work_in(change, entry)
            if not self.settle():
                self._read(live)
        self.seen = seen

    def work_in(self, change: int, entry: Entry) -> None:
        """Let an event within reach change the front."""
        keys, front = self.keys, self.front
        at = bisect_left(keys, entry.key)
        if change == LEFT:
            del keys[at], front[at]
        else:
            keys.insert(at, entry.key)
            front.insert(at, entry.json)
            if len(keys) > self.size:
                del keys[-1], front[-1]
                self.reach = keys[-1]


def follow(
    segments: Iterable[Segment], change: int, entry: Entry, *, since: int, seen: int
) -> None:
    """Bring segments from before to after one event, which concerns them all. Those that have not
    seen what happened until `since` stay as they are, and those whose front becomes too short are
    left as ones that have seen nothing: reading them again is for whoever asks for them.
    """
    key = entry.key
    for segment in segments:
        if segment.seen < since:
            continue
        within = key <= segment.reach
        segment.seen = -1
        segment.total += change
        if within:
            segment.work_in(change, entry)
        changed = within or segment.total == len(segment.keys)
        if not changed or segment.settle():
            segment.seen = seen
