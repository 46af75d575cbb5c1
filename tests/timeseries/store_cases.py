"""A store under test, whichever it is: its two sides, a stream of its own, names of its own.

Examples share the store and keep apart by the ends of their tags' names, so that a store which
takes a while to start is started once.
"""

import asyncio
import itertools
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from msgspec.structs import replace

from runtime.drain import Drained
from runtime.redis_where import open_redis
from runtime.stream import Stream, append_words, new_writer
from timeseries.records import Measurement, Query, Series, encode
from timeseries.stores.base import StoreReader, StoreWriter

_numbers = itertools.count(1)


@dataclass
class StoreUnderTest:
    """Both sides of a store, and the loop on which the reading side lives."""

    name: str
    writer: StoreWriter
    reader: StoreReader
    runner: asyncio.Runner
    redis: Any

    def case(self) -> "Case":
        """A stream and names that no other example has."""
        return Case(self)


@dataclass
class Case:
    """One example's part of the store."""

    store: StoreUnderTest
    suffix: str = field(default_factory=lambda: f"#{next(_numbers):05d}")
    key: str = field(default_factory=lambda: f"test:{uuid.uuid4().hex}")
    writer: bytes = field(default_factory=new_writer)
    seq: int = 0

    @property
    def stream(self) -> Stream:
        return Stream(self.store.redis, self.key)

    def tag(self, tag: str) -> str:
        return tag[: 20 - len(self.suffix)] + self.suffix

    def own(self, messages: Iterable[Measurement]) -> list[Measurement]:
        """The messages under this example's tags."""
        return [replace(message, tag=self.tag(message.tag)) for message in messages]

    def append(self, messages: Sequence[Measurement], *, again: bool = False) -> None:
        """One batch into the stream; `again` sends it under the number of the last one."""
        self.seq += not again
        self.put(self.writer, self.seq, encode(messages))

    def put(self, writer: bytes, seq: int, payload: bytes) -> None:
        self.store.redis.execute_command(*append_words(self.key, writer, seq, payload))

    def drain(self) -> Drained:
        return self.store.writer.drain(self.stream)

    def drain_all(self) -> None:
        while self.drain().at_ms is not None:
            pass

    def ask(self, query: Query) -> Series:
        return self.store.runner.run(self.store.reader.sample(query))

    def tags(self) -> list[tuple[str, int, int, int]]:
        found = self.store.runner.run(self.store.reader.tags())
        return [
            (each.tag, each.first_ns, each.last_ns, each.count)
            for each in found
            if each.tag.endswith(self.suffix)
        ]

    def exported(self, tag: str, start_ns: int, end_ns: int) -> list[tuple[int, list[float]]]:
        async def collect() -> list[tuple[int, list[float]]]:
            pages = self.store.reader.export(tag, start_ns, end_ns)
            return [row async for page in pages for row in page]

        return self.store.runner.run(collect())


def open_store(name: str, writer: StoreWriter, reader: StoreReader) -> Iterator[StoreUnderTest]:
    """The store until the generator is closed; both sides are then let go."""
    redis = open_redis(settings.REDIS_URL)
    with asyncio.Runner() as runner:
        yield StoreUnderTest(name, writer, reader, runner, redis)
        runner.run(reader.close())
    writer.close()
    redis.close()
