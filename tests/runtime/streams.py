"""What tests of streams need: a stream of their own, tables of their own, a group commit."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from runtime.commit import CommitLimits, GroupCommit
from runtime.drain import Drained, DrainTables, drain_once, settle
from runtime.http.answer import Answer
from runtime.redis_where import open_redis
from runtime.stream import Entry, Stream

SAFE = Answer(200, b"{}")


@dataclass
class Sink:
    """Where tests drain to: a table of items, and the two that every domain has."""

    url: str
    name: str = field(default_factory=lambda: f"sink{uuid.uuid4().hex[:12]}")

    @property
    def tables(self) -> DrainTables:
        return DrainTables(cursor=f"{self.name}_cursor", writer=f"{self.name}_writer")

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, autocommit=True, connect_timeout=2)

    def make(self) -> None:
        with self.connect() as connection:
            connection.execute(
                f"CREATE TABLE {self.name} (item text);"
                f"CREATE TABLE {self.name}_cursor (stream text PRIMARY KEY, last_id text,"
                " at_ms bigint, updated_at timestamptz);"
                f"CREATE TABLE {self.name}_writer (stream text, writer bytea, seq bigint,"
                " updated_at timestamptz, PRIMARY KEY (stream, writer))"
            )

    def drop(self) -> None:
        with self.connect() as connection:
            connection.execute(f"DROP TABLE {self.name}, {self.name}_cursor, {self.name}_writer")

    def apply(self, cursor: psycopg.Cursor[Any], entries: list[Entry]) -> None:
        items = [item for entry in entries for item in entry.payload.decode().split(",")]
        cursor.execute(f"INSERT INTO {self.name} SELECT unnest(%s::text[])", (items,))

    def drain(self, stream: Stream, **options: Any) -> Drained:
        with self.connect() as connection:
            options.setdefault("apply", self.apply)
            return drain_once(connection=connection, stream=stream, tables=self.tables, **options)

    def drain_all(self, stream: Stream) -> None:
        while not (drained := self.drain(stream)).standby and drained.at_ms is not None:
            pass

    def settle(self, key: str, writer: bytes, seq: int) -> bool:
        with self.connect() as connection:
            return settle(
                connection=connection, tables=self.tables, stream=key, writer=writer, seq=seq
            )

    def items(self) -> list[str]:
        with self.connect() as connection:
            rows = connection.execute(f"SELECT item FROM {self.name}").fetchall()
        return sorted(row[0] for row in rows)

    def seqs(self) -> list[int]:
        with self.connect() as connection:
            rows = connection.execute(f"SELECT seq FROM {self.name}_writer ORDER BY 1").fetchall()
        return [row[0] for row in rows]


def new_sink(url: str) -> Iterator[Sink]:
    """A sink on the PostgreSQL at `url`, dropped at the end."""
    sink = Sink(url)
    sink.make()
    yield sink
    sink.drop()


def refuse_to_settle(key: str, writer: bytes, seq: int) -> bool:
    pytest.fail("nothing was uncertain")


def new_commit(
    url: str,
    *,
    name: str,
    settle: Callable[[str, bytes, int], bool] = refuse_to_settle,
    **limits: Any,
) -> GroupCommit[str]:
    """A group commit of words, joined by commas."""
    return GroupCommit(
        name=name,
        url=url,
        shards=1,
        encode=lambda items: ",".join(items).encode(),
        settle=settle,
        limits=CommitLimits(**limits),
    )


async def submit(commit: GroupCommit[str], item: str) -> Answer:
    """Submit one item and wait for its answer."""
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    commit.submit(item, len(item), future.set_result, SAFE)
    return await future


def open_stream(url: str, key: str) -> Stream:
    """The stream as drains see it."""
    return Stream(open_redis(url), key)
