"""The catalog in memory: which ads fit a visitor now, in microseconds, at any size.

`CatalogIndex` holds the ads that the change log says are open, moves them in and out by the clock,
and answers by segment. A segment is what visitors with the same attributes get: its total and the
first ads of its order. It is worked out once from the blocks' bit sets and then kept true in one of
two ways. An event that comes alone, as most writes do, is worked at once into the segments that it
concerns: side by side they cost a tenth of what each costs when it is asked for next. When many
events come at once, or they concern very many segments, a segment replays them when it is asked
for again. So neither a write nor the clock ever costs time in proportion to the catalog, and what
either costs on behalf of segments is bounded. A write that changes only what is shown of an ad
changes it in the one place that all segments look at, and costs nothing on their behalf.

Pure: no thread, no socket, and the clock is passed in. A lock makes it safe for one thread that
applies changes and others that ask.
"""

import heapq
import itertools
import time
from collections.abc import Callable, Iterable
from hashlib import blake2b
from threading import Lock
from uuid import UUID

from adserver.audiences import Audiences
from adserver.blocks import BLOCK_ADS, Entry, OrderedBlocks, conditions_of
from adserver.events import ENTERED, LEFT, Events
from adserver.records import AdRecord, epoch_us, render
from adserver.segments import FRONT_ADS, FRONT_ADS_MOST, Segment, follow
from adserver.targeting import ad_mask, need_of

SEGMENTS_MAX = 16_384
# Entrances and exits remembered for replay; a segment further behind is worked out afresh.
EVENTS_MAX = 4_096
_FRONT_EVENTS, _BLOCK_EVENTS = 128, 10
# Of what one call brings about, so many events are worked in at once, each into so many segments
# at most. An ad that moves is two: it leaves one place and enters another.
AT_ONCE_EVENTS, AT_ONCE_SEGMENTS = 2, 4_096
# And so many segments a second, and in one go: at 0.2 to 1.5 µs each, at most a fifth of a core.
AT_ONCE_PER_S, AT_ONCE_BURST = 200_000, 40_000
# A clock set back by less than this is waited out; by more, the catalog is laid out anew.
CLOCK_BACK_NS = 2_000_000_000
_STALE_SCHEDULED = 1_024
_NEVER_NS = 1 << 63
_HASH_BYTES = 16
_HASH_MODULUS = 1 << (8 * _HASH_BYTES)


def make_entry(record: AdRecord) -> Entry:
    """The index's form of an ad."""
    key = epoch_us(record.end_at) << 128 | record.id.int
    return Entry(key, epoch_us(record.start_at), ad_mask(record), bytearray(render(record)))


def _digest(json: bytearray) -> int:
    return int.from_bytes(blake2b(json, digest_size=_HASH_BYTES).digest(), "big")


class CatalogIndex:
    """All open ads of one catalog version; `version` is None until `load` has run.

    `clock` gives nanoseconds since the epoch.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._lock = Lock()
        self.version: int | None = None
        # The version that was begun last: while it is not `version`, contents may be of either.
        self.begun: int | None = None
        self._entries: dict[int, Entry] = {}
        self._sum = 0
        self._serial = itertools.count()
        # Events so far, and those since which all that happened was worked in at once: who was true
        # then or later is true now.
        self._seen = self._true_since = 0
        self._at_once = 0
        self._credit = float(AT_ONCE_BURST)
        self._lay_out()
        self._publish()

    # Writing: one thread, in the order of the log.

    def load(self, records: Iterable[AdRecord], *, version: int) -> None:
        """Replace everything by the ads of a snapshot taken at `version`."""
        entries: dict[int, Entry] = {}
        total = 0
        for record in records:
            entries[record.id.int] = entry = make_entry(record)
            total += _digest(entry.json)
        # Laid out before the lock is taken: readers go on with the old catalog meanwhile.
        now_us = self._clock() // 1000
        live = _live_blocks(entries, now_us)
        with self._lock:
            self._entries, self._sum = entries, total % _HASH_MODULUS
            self._begin(now_us, live)
            self.version = self.begun = version
            self._publish()

    def apply(
        self, *, version: int, ad_id: UUID, record: AdRecord | None, one_of_many: bool = False
    ) -> None:
        """Apply one change: the ad as it is from now on, or None when it is deleted or closed.

        `one_of_many` leaves the work on segments to those who ask for them. ValueError when
        `version` does not follow the one before it.
        """
        entry = make_entry(record) if record is not None else None
        with self._lock:
            if self.version is None or version != self.version + 1:
                raise ValueError(f"version {version} does not follow {self.version}")
            self.begun = version
            self._advance(self._clock())
            self._at_once = 0 if one_of_many else AT_ONCE_EVENTS
            old = self._entries.pop(ad_id.int, None)
            if entry is not None:
                self._entries[ad_id.int] = entry
                self._sum += _digest(entry.json)
            if old is not None:
                self._sum -= _digest(old.json)
            self._sum %= _HASH_MODULUS
            self._exchange(old, entry)
            self._set_next_turn()
            self.version = version
            self._publish()

    def _exchange(self, old: Entry | None, new: Entry | None) -> None:
        """Let `new` take the place of `old`."""
        if old is not None and self._is_live(old):
            if new is not None and self._is_live(new) and _same_place(old, new):
                # In the one place where all segments have it: no event, whoever it concerns.
                old.json[:] = new.json
                new.json = old.json
                self._live.replace(new)
                return
            self._note(LEFT, self._live.remove(old.key))
        if new is not None:
            self._place(new)

    def _publish(self) -> None:
        """Let readers see what is now, in one assignment."""
        clock = self._from_ns, self._turn_ns
        self._published = self.version, *clock, self._segments, self._true_since, self._seen

    # Reading: any thread.

    def query(self, visitor: int, offset: int, limit: int) -> tuple[int | None, int, list[bytes]]:
        """Version, number of all ads that fit, and the JSON of those on the page.

        `visitor` is a `targeting.visitor_code`. Version None: nothing is loaded yet.
        """
        version, total, page = self.peek(visitor, offset, limit)
        copies = list(map(bytes, page))
        if self.begun == version:
            return version, total, copies
        with self._lock:
            version, total, page = self._look(visitor, offset, limit)
            return version, total, list(map(bytes, page))

    def peek(
        self, visitor: int, offset: int, limit: int
    ) -> tuple[int | None, int, list[bytearray]]:
        """The same without copies: the contents are of that version if, after they were used, it is
        still the one that was `begun` last. Else ask `query`.
        """
        # Without the lock, which would cost a fifth of all this. What writers publish is one state
        # of the catalog. A segment is true from its `seen` on, in every state whose range holds
        # that: whatever concerns it changes `seen` first, and never back.
        version, from_ns, turn_ns, segments, true_since, now_seen = self._published
        if from_ns <= self._clock() < turn_ns:
            segment = segments.get(visitor)
            if segment is not None and true_since <= (seen := segment.seen) <= now_seen:
                last = offset + limit
                if segment.complete or last <= len(segment.front):
                    total, page = segment.total, segment.front[offset:last]
                    if segment.seen == seen:
                        return version, total, page
        with self._lock:
            return self._look(visitor, offset, limit)

    def _look(
        self, visitor: int, offset: int, limit: int
    ) -> tuple[int | None, int, list[bytearray]]:
        """The same for who holds the lock."""
        now_ns = self._clock()
        if not self._from_ns <= now_ns < self._turn_ns:
            self._advance(now_ns)
        last = offset + limit
        segment = self._refreshed(visitor, last)
        if segment.complete or last <= len(segment.front):
            return self.version, segment.total, segment.front[offset:last]
        entries = self._live.page(self._live.matching(segment.conditions), offset, limit)
        return self.version, segment.total, [entry.json for entry in entries]

    def contains(self, ad_id: UUID) -> bool:
        """Whether the ad is live now."""
        with self._lock:
            self._advance(self._clock())
            entry = self._entries.get(ad_id.int)
            return entry is not None and self._is_live(entry)

    def state(self) -> tuple[int | None, str, int, int]:
        """Version, hash (hexadecimal, the same for the same open ads), open ads, live ads."""
        with self._lock:
            self._advance(self._clock())
            digest = self._sum.to_bytes(_HASH_BYTES, "big").hex()
            return self.version, digest, len(self._entries), len(self._live)

    # The clock.

    def _lay_out(self) -> None:
        """Sort all entries by the clock into live, scheduled and ended."""
        now_us = self._clock() // 1000
        self._begin(now_us, _live_blocks(self._entries, now_us))

    def _begin(self, now_us: int, live: OrderedBlocks) -> None:
        self._now_us = self._credited_us = now_us
        self._live = live
        self._schedule_all()
        self._forget_segments()
        self._set_next_turn()

    def _forget_segments(self) -> None:
        self._seen += 1
        self._segments: dict[int, Segment] = {}
        self._audiences = Audiences()
        self._events = Events()
        self._dropped = self._true_since = self._seen

    def _schedule_all(self) -> None:
        """Rebuild the heap of ads that have not started; the serial number breaks ties."""
        self._scheduled = [
            (e.start_us, next(self._serial), e)
            for e in self._entries.values()
            if e.start_us > self._now_us
        ]
        heapq.heapify(self._scheduled)

    def _is_live(self, entry: Entry) -> bool:
        return entry.start_us <= self._now_us < entry.end_us

    def _place(self, entry: Entry) -> None:
        if entry.start_us > self._now_us:
            heapq.heappush(self._scheduled, (entry.start_us, next(self._serial), entry))
            # Changed ads leave their old entries behind: swept out when they outnumber the ads.
            if len(self._scheduled) > 2 * len(self._entries) + _STALE_SCHEDULED:
                self._schedule_all()
        elif self._is_live(entry):
            self._live.add(entry)
            self._note(ENTERED, entry)

    def _advance(self, now_ns: int) -> None:
        """Let the ads whose time has come enter and leave."""
        if now_ns < self._from_ns:
            self._lay_out()
            self._publish()
            return
        self._now_us = now_us = max(now_ns // 1000, self._now_us)
        self._at_once = AT_ONCE_EVENTS
        # Many flights end or begin on the same midnight: whole blocks go, or are laid out, at once.
        if self._live.drop_blocks_until(((now_us + 1) << 128) - 1):
            self._forget_segments()
        while (first := self._live.first_key()) is not None and first >> 128 <= now_us:
            self._note(LEFT, self._live.remove(first))
        due = self._pop_due()
        if len(due) > BLOCK_ADS:
            self._live = OrderedBlocks(
                itertools.chain(self._live, (entry for entry in due if self._is_live(entry)))
            )
            self._forget_segments()
        else:
            for entry in due:
                self._place(entry)
        self._set_next_turn()
        self._publish()

    def _pop_due(self) -> list[Entry]:
        """Take the ads whose start has come from the heap.

        A changed or deleted ad has left its old entry there: it is skipped.
        """
        due = []
        while self._scheduled and self._scheduled[0][0] <= self._now_us:
            entry = heapq.heappop(self._scheduled)[2]
            if self._entries.get(entry.ad_id) is entry:
                due.append(entry)
        return due

    def _set_next_turn(self) -> None:
        first = self._live.first_key()
        next_us = min(
            first >> 128 if first is not None else _NEVER_NS // 1000,
            self._scheduled[0][0] if self._scheduled else _NEVER_NS // 1000,
        )
        self._turn_ns = next_us * 1000
        self._from_ns = self._now_us * 1000 - CLOCK_BACK_NS

    # Segments.

    def _note(self, change: int, entry: Entry) -> None:
        self._events.add(change, entry)
        self._seen += 1
        self._tell_segments(change, entry)
        most = min(EVENTS_MAX, 2 * self._replay_most())
        if len(self._events) > most:
            half = most // 2
            self._events.forget(half)
            self._dropped += half

    def _tell_segments(self, change: int, entry: Entry) -> None:
        """Let the segments that the event concerns follow, if those are not too many."""
        concerned = self._concerned(entry.mask) if self._at_once else None
        if concerned is None:
            self._true_since = self._seen
            return
        self._at_once -= 1
        self._credit -= len(concerned)
        # Who was not true before replays this event with the others.
        follow(concerned, change, entry, since=self._true_since, seen=self._seen)

    def _concerned(self, mask: int) -> list[Segment] | None:
        """The segments that an ad of this mask fits; None when they are more than there is time
        for now.
        """
        earned = max(0, self._now_us - self._credited_us) * AT_ONCE_PER_S / 1e6
        self._credit = min(self._credit + earned, float(AT_ONCE_BURST))
        self._credited_us = self._now_us
        return self._audiences.concerned(mask, most=min(AT_ONCE_SEGMENTS, int(self._credit)))

    def _refreshed(self, visitor: int, last: int) -> Segment:
        """The visitor's segment as it is now, with its ads up to number `last` if it may be."""
        segment = self._segments.get(visitor)
        if segment is not None and segment.seen < self._true_since:
            if segment.seen < max(self._dropped, self._seen - self._replay_most()):
                segment = None
            else:
                first = segment.seen - self._dropped
                segment.replay(self._events, first, self._live, seen=self._seen)
        if segment is None:
            segment = self._work_out(visitor, FRONT_ADS)
        if not segment.complete and len(segment.front) < last <= FRONT_ADS_MOST:
            segment = self._work_out(visitor, FRONT_ADS_MOST)
        return segment

    def _replay_most(self) -> int:
        """Beyond so many events, working a segment out costs less than replaying them."""
        return _FRONT_EVENTS + _BLOCK_EVENTS * self._live.block_count

    def _work_out(self, visitor: int, size: int) -> Segment:
        """Work a segment out from the blocks and remember it."""
        conditions = conditions_of(need_of(visitor))
        segment = Segment(visitor, conditions, self._live, size=size, seen=self._seen)
        old = self._segments.get(visitor)
        if old is not None:
            self._audiences.replace(old, segment)
        elif out := self._audiences.put(segment, most=SEGMENTS_MAX):
            del self._segments[out.visitor]
        self._segments[visitor] = segment
        return segment


def _same_place(old: Entry, new: Entry) -> bool:
    """Whether only what is shown differs."""
    return old.key == new.key and old.mask == new.mask


def _live_blocks(entries: dict[int, Entry], now_us: int) -> OrderedBlocks:
    return OrderedBlocks(e for e in entries.values() if e.start_us <= now_us < e.end_us)
