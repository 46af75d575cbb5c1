"""Made-up measurements: which tags how often, and values that do not change much. Pure."""

import math
from random import Random
from typing import Literal, get_args

import msgspec

from timeseries.records import Measurement

Distribution = Literal["seed", "uniform"]
DISTRIBUTIONS: tuple[Distribution, ...] = get_args(Distribution)
# The first tag has this share of all messages, the second the same share of the rest, and so on.
_SHARE = 0.01
_encode = msgspec.json.Encoder().encode


def tag_name(place: int) -> str:
    """The tag at a place, from 0: the most frequent one is first."""
    return f"tag{place + 1:05d}"


class Mix:
    """Messages of `tags` tags with `width` values each; the same `seed` gives the same ones."""

    def __init__(
        self, *, tags: int, distribution: Distribution = "seed", width: int = 10, seed: int = 0
    ) -> None:
        self._names = [tag_name(place) for place in range(tags)]
        self._even = distribution == "uniform"
        self._random = Random(seed)  # noqa: S311 - nobody gains from guessing it
        self._values = [
            [self._random.uniform(-100, 100) for _ in range(width)] for _ in range(tags)
        ]

    def place(self) -> int:
        """The place of the tag of the next message."""
        if self._even:
            return self._random.randrange(len(self._names))
        beyond = int(math.log(1.0 - self._random.random()) / math.log(1.0 - _SHARE))
        return min(beyond, len(self._names) - 1)

    def messages(self, times_ns: range) -> list[Measurement]:
        """A message for each time."""
        # One value a message moves: making them must not cost more than sending them.
        random, width, made = self._random.random, len(self._values[0]), []
        for time_ns in times_ns:
            place = self.place()
            values = self._values[place]
            values[int(random() * width)] += random() - 0.5
            made.append(Measurement(time_ns, self._names[place], values.copy()))
        return made

    def body(self, times_ns: range) -> bytes:
        """The same as a body for `/save/batch`."""
        return _encode(self.messages(times_ns))
