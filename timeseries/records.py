"""What a measurement is, and how many of them travel through the stream.

Pure: no Django and no numpy, because the processes that answer requests encode but never decode.

A batch in the stream is columns, not rows: each column is one copy of memory on either side, and
a tag's name is there once. All numbers are little-endian:

    b"M1" · u32 rows · u32 bytes of names · the distinct tags in UTF-8, joined by NUL
    i64 time_ns per row · u32 place in the names per row · u8 number of values per row
    f64 all values, row after row

Rows keep the order in which they arrived: of two with the same tag and time the later one wins.
"""

import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from runtime.errors import BusyError, DomainError, NotFoundError

TAG_CHARACTERS_MAX = 20
VALUES_MAX = 64
SAMPLES_MAX = 10_000
SAMPLES_DEFAULT = 1_000
TIME_MAX_NS = 2**63 - 1
# In 2255. What is later would be in a partition that ends beyond what 8 bytes hold.
STORED_MAX_NS = 9_000_000_000_000_000_000
MAGIC = b"M1"
HEADER = struct.Struct("<2sII")

Aggregate = Literal["last", "first", "min", "max", "mean", "count", "lttb"]
AGGREGATES: tuple[Aggregate, ...] = get_args(Aggregate)


class UnknownTagError(NotFoundError):
    """Nothing was ever stored under that tag."""

    def __init__(self, tag: str) -> None:
        super().__init__(f"tag: there is no tag {tag!r}")


class InvalidTagError(DomainError):
    """A tag has a character that the stores cannot hold."""


class StoreAwayError(BusyError):
    """The store does not answer, or not in time. Nothing was done."""


class Measurement(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One message: `values` of `tag` at `time` (ns since the epoch). Values are finite."""

    time: Annotated[int, Meta(ge=0, le=TIME_MAX_NS)]
    tag: Annotated[str, Meta(min_length=1, max_length=TAG_CHARACTERS_MAX)]
    values: Annotated[list[float], Meta(min_length=1, max_length=VALUES_MAX)]


class Sample(Struct, frozen=True, gc=False):
    """One point of an answer: `values` is None where the tag has nothing to say."""

    time: int
    values: Sequence[float] | None


class Series(Struct, frozen=True, rename={"tag_name": "tagName"}):
    """The answer to a query, in the names of the public API."""

    tag_name: str
    start: int
    end: int
    samples: list[Sample]


class Query(Struct, frozen=True):
    """A question: `samples` points of `tag` in (`start_ns`, `end_ns`], made by `aggregate`."""

    tag: str
    start_ns: int
    end_ns: int
    samples: int = SAMPLES_DEFAULT
    aggregate: Aggregate = "last"

    def times_ns(self) -> list[int]:
        """When the samples are taken; the last one is `end_ns`. Integers of any size."""
        start_ns, samples = self.start_ns, self.samples
        span_ns = self.end_ns - start_ns
        return [start_ns + i * span_ns // samples for i in range(1, samples + 1)]


class TagSummary(Struct, frozen=True):
    """What the store holds of one tag. `count` counts measurements, not messages."""

    tag: str
    first_ns: int
    last_ns: int
    count: int


def encode(batch: Sequence[Measurement]) -> bytes:
    """The batch as one payload of the stream. InvalidTagError for a tag that holds NUL."""
    tags = [measurement.tag for measurement in batch]
    names = dict.fromkeys(tags)
    places = {name: place for place, name in enumerate(names)}
    joined = "\0".join(names).encode()
    if joined.count(b"\0") != max(len(names) - 1, 0):
        raise InvalidTagError("tag: must not contain the character NUL")
    values = [measurement.values for measurement in batch]
    return b"".join(
        (
            HEADER.pack(MAGIC, len(batch), len(joined)),
            joined,
            _packed("q", [measurement.time for measurement in batch]),
            _packed("I", map(places.__getitem__, tags)),
            bytes(map(len, values)),
            _packed("d", chain.from_iterable(values)),
        )
    )


def _packed(code: str, numbers: Iterable[float]) -> bytes:
    column = array(code, numbers)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()
