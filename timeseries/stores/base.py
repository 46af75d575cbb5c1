"""What every store of measurements can do. Three do: PostgreSQL, kdb+, and memory in tests.

Writing and reading are apart, as they run in different processes: `StoreWriter` is synchronous,
for the process that drains the stream; `StoreReader` is asynchronous, for the event loop of a web
worker, which it never blocks.

What is written is what comes out of the stream: entries with the writer's id and number. A store
keeps with the measurements, in one step, the highest number it has of each writer, so an entry
counts once however often it is handed over.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from logging import getLogger
from typing import Protocol

from runtime.drain import Drained
from runtime.stream import Entry, Stream
from timeseries.batches import BadPayloadError, Batch, Rows
from timeseries.records import Query, Series, TagSummary

log = getLogger(__name__)
# What was accepted may wait in the stream before it is stored: so much longer it is kept.
GRACE_NS = 600_000_000_000


@dataclass(frozen=True, slots=True)
class Health:
    """How a store is: `ok`, and what is wrong otherwise, for people."""

    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Retained:
    """What keeping the retention did: partitions made and dropped by name, tags without any
    measurement left, and writers that were forgotten.
    """

    made: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    tags: int = 0
    writers: int = 0


class StoreWriter(Protocol):
    """The writing side. Not thread-safe; connects when first used and again after a failure.

    StoreAwayError when the store does not answer: what was under way is done wholly or not at
    all, and doing it again is safe.
    """

    def drain(self, stream: Stream) -> Drained:
        """Take what waits in the stream, up to the limits given when the store was made; store
        it together with the writers' numbers, then trim the stream.
        """

    def settle(self, stream: str, writer: bytes, seq: int) -> bool:
        """True if the entry is stored; otherwise it is made sure that it never will be."""

    def retain(self, *, oldest_ns: int, newest_ns: int, streams: Sequence[Stream]) -> Retained:
        """Let go of what is before `oldest_ns`, though not at once of all of it, and make room up
        to `newest_ns`; forget writers that have long left `streams`. To be called every few
        minutes, by any number of processes.
        """

    def close(self) -> None:
        """Let go of the connection."""


class StoreReader(Protocol):
    """The reading side, on an event loop. StoreAwayError when the store is away or too slow."""

    async def sample(self, query: Query) -> Series:
        """The answer to `query`. UnknownTagError when nothing was ever stored under the tag."""

    async def tags(self) -> list[TagSummary]:
        """All tags that have measurements, by name."""

    def export(self, tag: str, start_ns: int, end_ns: int) -> AsyncIterator[Rows]:
        """All of `tag` with start ≤ time < end, ascending, in chunks. UnknownTagError as above."""

    async def health(self) -> Health:
        """Whether the store answers. Never raises."""

    async def close(self) -> None:
        """Let go of the connections."""


def batch_of(entries: Sequence[Entry]) -> Batch:
    """All measurements of the entries, in their order.

    What no writer of ours wrote is passed over, with a line in the log: it would stand in the way
    of everything after it for ever.
    """
    batches = []
    for entry in entries:
        try:
            batches.append(Batch.decoded(entry.payload))
        except BadPayloadError as error:
            log.warning("entry %s holds no measurements, %s", entry.id.decode(), error)
    return Batch.joined(batches)
