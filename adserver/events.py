"""What entered and left the catalog lately: found by condition, so that a segment that is asked for
again replays what concerns it and passes over the rest.
"""

from itertools import compress

from adserver.blocks import Conditions, Entry
from adserver.targeting import EVERYBODY, FIELD_MASKS, bit_flags, value_positions

ENTERED, LEFT = 1, -1


class Events:
    """Entrances (1) and exits (-1), in order.

    Per attribute value the bits of the events whose ads accept it, and per attribute of those that
    accept everybody: an event marks few sets, a look reads two per condition.
    """

    __slots__ = ("_everybody", "_sets", "entries")

    def __init__(self) -> None:
        self.entries: list[tuple[int, Entry]] = []
        self._everybody = [0] * (len(FIELD_MASKS) + 1)
        self._sets: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, change: int, entry: Entry) -> None:
        """Note one more."""
        flag = 1 << len(self.entries)
        for field, field_mask in enumerate(FIELD_MASKS):
            accepted = entry.mask & field_mask
            if accepted == EVERYBODY[field]:
                self._everybody[field] |= flag
                continue
            for position in value_positions(accepted):
                self._sets[position] = self._sets.get(position, 0) | flag
        self.entries.append((change, entry))

    def forget(self, count: int) -> None:
        """Drop the oldest `count`."""
        del self.entries[:count]
        self._everybody = [bits >> count for bits in self._everybody]
        self._sets = {position: bits >> count for position, bits in self._sets.items()}

    def after(self, first: int, conditions: Conditions) -> list[tuple[int, Entry]]:
        """Those from number `first` on that fit, in order."""
        found = -1 << first & (1 << len(self.entries)) - 1
        for field, position in conditions:
            found &= self._sets.get(position, 0) | self._everybody[field]
        return list(compress(self.entries, bit_flags(found)))
