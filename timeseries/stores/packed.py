"""Measurements in PostgreSQL's binary formats. Pure, over numpy.

`values` are big-endian floats in a bytea: against an array of double precision a row is 24 bytes
shorter and a batch is written in 0.7 of the time (50 000 rows: 105 against 135 ms), since an
array is taken apart element by element on the way in and on the way out.
"""

from collections.abc import Iterator
from functools import cache
from struct import Struct

import numpy as np

from timeseries.batches import Batch, Rows, same

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
_PART_ROWS = 10_000


def copy_rows(batch: Batch) -> Iterator[bytes | memoryview]:
    """What COPY … (time_ns, tag_id, values) FROM STDIN BINARY reads; `codes` are the tags' ids.

    In parts, so that PostgreSQL is at the first while the next is made.
    """
    yield COPY_HEADER
    for alike in [batch] if same(batch.counts) else _by_width(batch):
        for first in range(0, len(alike), _PART_ROWS):
            yield _same_width(alike, slice(first, first + _PART_ROWS))
    yield COPY_TRAILER


def _by_width(batch: Batch) -> Iterator[Batch]:
    for width in np.unique(batch.counts).tolist():
        yield batch.taken(np.flatnonzero(batch.counts == width))


def _same_width(batch: Batch, part: slice) -> memoryview:
    width = int(batch.counts[0])
    times_ns = batch.times_ns[part]
    rows = np.empty(len(times_ns), _copy_row(width))
    rows["columns"], rows["time_bytes"], rows["tag_bytes"] = 3, 8, 4
    rows["time_ns"], rows["tag_id"] = times_ns, batch.codes[part]
    rows["values_bytes"] = 8 * width
    rows["values"] = batch.values.reshape(-1, width)[part]
    return rows.view(np.uint8).data


@cache
def _copy_row(width: int) -> np.dtype[np.void]:
    return np.dtype(
        [
            ("columns", ">i2"),
            ("time_bytes", ">i4"),
            ("time_ns", ">i8"),
            ("tag_bytes", ">i4"),
            ("tag_id", ">i4"),
            ("values_bytes", ">i4"),
            ("values", ">f8", (width,)),
        ]
    )


def rows_of(times: bytes, counts: bytes, values: bytes) -> Rows:
    """Rows out of three columns, each laid end to end as int8send, int2send and the values."""
    return Rows(
        np.frombuffer(times, ">i8").astype(np.int64),
        np.frombuffer(counts, ">i2").astype(np.int64),
        np.frombuffer(values, ">f8").astype(np.float64),
    )


def floats(values: bytes) -> tuple[float, ...]:
    """The values of one row."""
    return _floats(len(values) // 8).unpack(values)


@cache
def _floats(count: int) -> Struct:
    return Struct(f">{count}d")
