"""Which of the remembered segments an ad concerns: found by bit sets of segments, one for every
value that visitors bring, as the blocks find ads by bit sets of ads.
"""

from functools import reduce
from itertools import compress, repeat
from operator import or_

from adserver.blocks import NOBODY
from adserver.segments import Segment
from adserver.targeting import EVERYBODY, FIELD_MASKS, bit_flags, value_positions


class Audiences:
    """The segments in memory, each in a slot of its own; the first in goes out first.

    The slots of all segments, per attribute of those that give no value for it, and per value of
    those that give it. Segments that no ad fits (an age beyond all ads') are in none of these sets.
    """

    __slots__ = ("_anybody", "_given", "_next", "_not_given", "segments")

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self._next = 0
        self._anybody = 0
        self._not_given = [0] * len(FIELD_MASKS)
        self._given: list[dict[int, int]] = [{} for _ in FIELD_MASKS]

    def put(self, segment: Segment, *, most: int) -> Segment | None:
        """Remember a segment; with `most` of them there already, in the place of one that is
        given back.
        """
        slot, out = len(self.segments), None
        if slot < most:
            self.segments.append(segment)
        else:
            slot, self._next = self._next, (self._next + 1) % most
            out, self.segments[slot] = self.segments[slot], segment
            self._flip(slot, out)
        segment.slot = slot
        self._flip(slot, segment)
        return out

    def replace(self, old: Segment, new: Segment) -> None:
        """Put a segment of the same visitors in the place of the old one."""
        new.slot = old.slot
        self.segments[new.slot] = new

    def _flip(self, slot: int, segment: Segment) -> None:
        """Note whom the segment in the slot is for, or forget it."""
        given = dict(segment.conditions)
        if NOBODY in given:
            return
        flag = 1 << slot
        self._anybody ^= flag
        for field, sets in enumerate(self._given):
            if (position := given.get(field)) is None:
                self._not_given[field] ^= flag
            elif flags := sets.get(position, 0) ^ flag:
                sets[position] = flags
            else:
                del sets[position]

    def concerned(self, mask: int, *, most: int) -> list[Segment] | None:
        """The segments that an ad of this mask fits; None when they are more than `most`."""
        found = self._anybody
        for field, sets in enumerate(self._given):
            accepted = mask & FIELD_MASKS[field]
            if accepted != EVERYBODY[field]:
                fit = map(sets.get, value_positions(accepted), repeat(0))
                found &= reduce(or_, fit, self._not_given[field])
        if found.bit_count() > most:
            return None
        return list(compress(self.segments, bit_flags(found)))
