"""What visitors with the same attributes get: a total, and the first ads in order.

A segment is worked out once from the blocks and then kept true by replaying the events that
concern it. Most visitors look at the first page, so few ads are kept until somebody looks further.
"""

from bisect import bisect_left
from operator import attrgetter

from adserver.blocks import Conditions, Entry, OrderedBlocks
from adserver.events import LEFT, REWRITTEN, Events

# First ads kept per segment, and, for a segment of which more were asked once, most of them. When
# exits leave less than the share, they are read from the blocks again.
FRONT_ADS, FRONT_ADS_MOST = 40, 160
_FRONT_SHARE = 5 / 8
_key, _json = attrgetter("key"), attrgetter("json")


class Segment:
    """One segment, true after `seen` events; `complete` says that the front is all there is.

    Changed only by who holds the index's lock. Others may read it meanwhile: what they took is
    good if `seen` was the same before and after.
    """

    __slots__ = ("complete", "conditions", "front", "keys", "seen", "size", "total")

    def __init__(
        self, conditions: Conditions, live: OrderedBlocks, *, size: int, seen: int
    ) -> None:
        self.conditions = conditions
        self.size = size
        self._read(live)
        self.seen = seen

    def _read(self, live: OrderedBlocks) -> None:
        found = live.matching(self.conditions)
        self.total = sum(map(int.bit_count, found))
        entries = live.page(found, 0, self.size)
        self.keys = list(map(_key, entries))
        self.front = list(map(_json, entries))
        self.complete = len(entries) == self.total

    def replay(self, events: Events, first: int, live: OrderedBlocks, *, seen: int) -> None:
        """Bring it up to date by the events from number `first` on; `live` is what they led to."""
        news = events.after(first, self.conditions)
        if news:
            self.seen = -1
            self._work_in(news)
            if not self.complete and len(self.keys) < self.size * _FRONT_SHARE:
                self._read(live)
        self.seen = seen

    def _work_in(self, news: list[tuple[int, Entry]]) -> None:
        keys, front, size, complete = self.keys, self.front, self.size, self.complete
        total = self.total
        for change, entry in news:
            total += change
            key = entry.key
            # The front is a prefix: what comes after its last ad concerns the total only.
            if not complete and (not keys or key > keys[-1]):
                continue
            at = bisect_left(keys, key)
            if change == REWRITTEN:
                front[at] = entry.json
            elif change == LEFT:
                del keys[at], front[at]
            else:
                keys.insert(at, key)
                front.insert(at, entry.json)
                if len(keys) > size:
                    del keys[-1], front[-1]
                    complete = False
        self.total = total
        self.complete = len(keys) == total
