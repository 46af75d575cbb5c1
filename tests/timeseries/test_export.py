"""Exports over the store in memory: what they hold, and that they make room."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.timeseries.asked import HOUR_AGO_NS, NOW_NS, RANGE, REACH, S_NS, one_hour
from timeseries.batches import Rows
from timeseries.export import ExportOutgrownError, Exports, ExportsBusyError, read_export_query
from timeseries.queries import InvalidQueryError
from timeseries.records import StoreAwayError, UnknownTagError
from timeseries.stores.memory import MemoryReader


@pytest.fixture
def memory():
    return one_hour()


def export(reader, query: str) -> bytes:
    async def read() -> bytes:
        exports = Exports(reader, most=1)
        begun = await exports.begin(read_export_query(query.encode(), REACH))
        with pytest.raises(ExportsBusyError):
            await exports.begin(read_export_query(query.encode(), REACH))
        pieces = [piece async for piece in begun]
        begun.close()
        begun.close()
        (await exports.begin(read_export_query(query.encode(), REACH))).close()
        return b"".join(pieces)

    return asyncio.run(read())


def test_export_csv(memory):
    lines = export(MemoryReader(memory), f"tag=a&{RANGE}").decode().splitlines()
    assert lines[:3] == [
        "time,value1,value2",
        f"{HOUR_AGO_NS},0.0,0.0",
        f"{HOUR_AGO_NS + S_NS},1.0,0.5",
    ]
    assert len(lines) == 3601


def test_export_csv_of_different_widths(memory):
    memory.tags["w"] = {HOUR_AGO_NS: [1.0], HOUR_AGO_NS + 1: [1.0, 2.0, 3.0]}
    assert export(MemoryReader(memory), f"tag=w&{RANGE}").decode().splitlines() == [
        "time,value1,value2,value3",
        f"{HOUR_AGO_NS},1.0,,",
        f"{HOUR_AGO_NS + 1},1.0,2.0,3.0",
    ]


def test_export_csv_whose_widest_comes_late(memory):
    rows = {HOUR_AGO_NS + n: [1.0] for n in range(100_000)}
    memory.tags["w"] = {**rows, HOUR_AGO_NS + 100_000: [1.0, 2.0]}
    reader = MemoryReader(memory)
    lines = export(reader, f"tag=w&{RANGE}").decode().splitlines()
    assert lines[0] == "time,value1,value2"
    assert lines[1] == f"{HOUR_AGO_NS},1.0,"
    assert lines[-1] == f"{HOUR_AGO_NS + 100_000},1.0,2.0"


class Growing(MemoryReader):
    """Has a wider measurement after each reading."""

    async def export(self, tag: str, start_ns: int, end_ns: int) -> AsyncIterator[Rows]:
        async for rows in super().export(tag, start_ns, end_ns):
            yield rows
        measured = self._tags[tag]
        measured[HOUR_AGO_NS + len(measured)] = [1.0] * (len(measured) + 1)


def test_what_outgrows_its_header_while_it_is_read_breaks_off(memory):
    async def read() -> None:
        memory.tags["w"] = {HOUR_AGO_NS: [1.0]}
        exports = Exports(Growing(memory), most=1)
        begun = await exports.begin(read_export_query(f"tag=w&{RANGE}".encode(), REACH))
        pieces = aiter(begun)
        assert await anext(pieces) == b"time,value1\n"
        with pytest.raises(ExportOutgrownError):
            await anext(pieces)

    asyncio.run(read())


def test_export_of_nothing(memory):
    query = f"tag=a&start={NOW_NS}&end={NOW_NS + 1}"
    assert export(MemoryReader(memory), query) == b"time,value1\n"
    assert export(MemoryReader(memory), f"{query}&format=ndjson") == b""


def test_export_lines_can_be_sent_again(memory):
    text = export(MemoryReader(memory), f"tag=a&{RANGE}&format=ndjson")
    sent = [json.loads(line) for line in text.splitlines()]
    assert sent[1] == {"time": HOUR_AGO_NS + S_NS, "tag": "a", "values": [1.0, 0.5]}
    assert {each["time"]: each["values"] for each in sent} == memory.tags["a"]


@pytest.mark.parametrize(
    ("query", "msg"),
    [
        (f"tag=a&{RANGE}&format=xml", "format: must be csv or ndjson"),
        ("tag=a&end=1", "start: is required"),
    ],
)
def test_bad_exports(query, msg):
    with pytest.raises(InvalidQueryError, match=msg):
        read_export_query(query.encode(), REACH)


class Failing(MemoryReader):
    """Fails at the first piece, or after it."""

    async def export(self, tag: str, start_ns: int, end_ns: int) -> AsyncIterator[Rows]:
        if tag == "late":
            yield self._rows("a")
        raise StoreAwayError("gone")


def test_an_export_that_is_let_go_of_makes_room(memory):
    async def run() -> None:
        exports = Exports(MemoryReader(memory), most=1)
        for _ in range(2):
            # As Django does with an answer to a client who has left before it was there.
            await exports.begin(read_export_query(f"tag=a&{RANGE}".encode(), REACH))

    asyncio.run(run())


def test_exports_that_fail_make_room(memory):
    async def run() -> None:
        exports = Exports(Failing(memory), most=1)
        for _ in range(2):
            with pytest.raises(StoreAwayError):
                await exports.begin(read_export_query(f"tag=a&{RANGE}".encode(), REACH))
        late = await exports.begin(
            read_export_query(f"tag=late&{RANGE}&format=ndjson".encode(), REACH)
        )
        with pytest.raises(StoreAwayError):
            _ = [piece async for piece in late]
        late.close()
        unknown = Exports(MemoryReader(memory), most=1)
        with pytest.raises(UnknownTagError):
            await unknown.begin(read_export_query(f"tag=x&{RANGE}".encode(), REACH))

    asyncio.run(run())
