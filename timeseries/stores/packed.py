"""Measurements in blocks, and blocks in PostgreSQL's binary formats. Pure, over numpy.

A block holds what one tag has in a span of one hour: `times` ascending as an array, `values` as
big-endian floats laid end to end, all rows of one width. A row that is shorter ends in NaN, which
no measurement holds. Blocks of a tag never overlap, so the last measurement at or before a moment
is in the last block that begins at or before it.

Against one row for each measurement PostgreSQL writes a tenth of the rows and of the index, which
is where the time went: 10 000 measurements of 500 tags in 5 ms in place of 20, 200 000 in 150 in
place of 520. `times` are an array because `width_bucket` searches one; `values` are none because
an array is taken apart element by element on its way in and out.
"""

from collections.abc import Iterator
from functools import cache
from itertools import chain, islice
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timeseries.batches import Batch, Ints, Rows, same

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
# Two full blocks fill a page of PostgreSQL.
BLOCK_BYTES = 4_000
_PART_BLOCKS = 250
_HEAD = np.dtype(
    [
        ("columns", ">i2"),
        ("tag_bytes", ">i4"),
        ("tag_id", ">i4"),
        ("first_bytes", ">i4"),
        ("first_ns", ">i8"),
        ("times_bytes", ">i4"),
        ("dimensions", ">i4"),
        ("nulls", ">i4"),
        ("element_type", ">i4"),
        ("elements", ">i4"),
        ("lowest", ">i4"),
    ]
)
_ELEMENT = np.dtype([("bytes", ">i4"), ("time_ns", ">i8")])
_INT8_TYPE = 20
# What array_send puts before the elements, and each of them, in words of four bytes.
_HEAD_WORDS, _ELEMENT_WORDS = 5, 3


def block_rows(widths: Ints) -> Ints:
    """How many rows of each width a block holds at most."""
    return np.maximum(BLOCK_BYTES // (8 + 8 * widths), 1)


def copy_blocks(batch: Batch, starts: Ints) -> Iterator[bytes]:
    """What COPY … (tag_id, first_ns, times, values) FROM STDIN BINARY reads.

    `batch` is in the order of tag and time, `codes` are the tags' ids, and `starts` is where new
    blocks begin at the latest: at each tag and hour. In parts, so that PostgreSQL is at the first
    while the next is made.
    """
    firsts, widths = _cut(batch.counts, starts)
    lengths = np.diff(np.append(firsts, len(batch)))
    elements = np.empty(len(batch), _ELEMENT)
    elements["bytes"], elements["time_ns"] = 8, batch.times_ns
    each = np.ones(len(firsts), np.int64)
    blocks = zip(
        _pieces(_heads(batch, firsts, lengths), each),
        _pieces(elements, lengths),
        _pieces((8 * widths * lengths).astype(">i4"), each),
        _pieces(_filled(batch, np.repeat(widths, lengths)), widths * lengths),
        strict=True,
    )
    yield COPY_HEADER
    while part := list(islice(blocks, _PART_BLOCKS)):
        yield b"".join(chain.from_iterable(part))
    yield COPY_TRAILER


def _pieces(items: NDArray[Any], lengths: Ints) -> Iterator[memoryview]:
    """The bytes of so many items each."""
    content = memoryview(items.view(np.uint8).data)
    start = 0
    for end in np.cumsum(items.itemsize * lengths).tolist():
        yield content[start:end]
        start = end


def _cut(counts: Ints, starts: Ints) -> tuple[Ints, Ints]:
    """Where blocks begin when none is too large, and how wide the rows of each are."""
    lengths = np.diff(np.append(starts, len(counts)))
    most = np.repeat(block_rows(np.maximum.reduceat(counts, starts)), lengths)
    places = np.arange(len(counts)) - np.repeat(starts, lengths)
    firsts = np.flatnonzero(places % most == 0)
    return firsts, np.maximum.reduceat(counts, firsts)


def _heads(batch: Batch, firsts: Ints, lengths: Ints) -> NDArray[np.void]:
    heads = np.empty(len(firsts), _HEAD)
    heads["columns"], heads["tag_bytes"], heads["first_bytes"] = 4, 4, 8
    heads["tag_id"], heads["first_ns"] = batch.codes[firsts], batch.times_ns[firsts]
    heads["times_bytes"] = 4 * _HEAD_WORDS + 4 * _ELEMENT_WORDS * lengths
    heads["dimensions"], heads["nulls"], heads["element_type"] = 1, 0, _INT8_TYPE
    heads["elements"], heads["lowest"] = lengths, 1
    return heads


def _filled(batch: Batch, widths: Ints) -> NDArray[Any]:
    """The values of each row, filled up with NaN to its width, big-endian."""
    if same(batch.counts):
        return batch.values.astype(">f8")
    row_starts = np.cumsum(widths) - widths
    filled = np.full(int(widths.sum()), np.nan, ">f8")
    filled[np.repeat(row_starts, batch.counts) + _within(batch.counts)] = batch.values
    return filled


def rows_of(lengths: Ints, times: bytes, sizes: Ints, values: bytes) -> Rows:
    """The rows of blocks, one after the other: `lengths` are their numbers of rows, `times` what
    array_send makes of theirs, laid end to end, `sizes` and `values` the bytes of their values.
    """
    widths = np.repeat(sizes // (8 * lengths), lengths)
    flat = np.frombuffer(values, ">f8").astype(np.float64)
    present = ~np.isnan(flat)
    if present.all():
        return Rows(_times(lengths, times), widths, flat)
    counts = np.add.reduceat(present, np.cumsum(widths) - widths, dtype=np.int64)
    return Rows(_times(lengths, times), counts, flat[present])


def _times(lengths: Ints, times: bytes) -> Ints:
    words = np.frombuffer(times, ">u4").astype(np.int64)
    block_words = _HEAD_WORDS + _ELEMENT_WORDS * lengths
    starts = np.cumsum(block_words) - block_words + _HEAD_WORDS
    places = np.repeat(starts, lengths) + _ELEMENT_WORDS * _within(lengths)
    found: Ints = words[places + 1] << 32 | words[places + 2]
    return found


def _within(lengths: Ints) -> Ints:
    """0, 1, 2 … for each of the lengths."""
    return np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def floats(values: bytes) -> tuple[float, ...]:
    """The values of one row."""
    row = _floats(len(values) // 8).unpack(values)
    while row[-1] != row[-1]:
        row = row[:-1]
    return row


@cache
def _floats(count: int) -> Struct:
    return Struct(f">{count}d")


def array_text(numbers: list[int]) -> str:
    """The numbers as PostgreSQL reads an array."""
    return f"{{{str(numbers)[1:-1]}}}"
