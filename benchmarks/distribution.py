"""Measurements as the original load test sends them: 10 floats each, of 10 000 tags, of which the
first has 1 % of all messages, the second 1 % of the rest, and so on.
"""

import numpy as np

from timeseries.batches import Batch, Ints
from timeseries.records import Measurement, encode

TAGS = 10_000
VALUES = 10
SHARE = 0.01


def tag_name(place: int) -> str:
    """The name of the tag in that place, the most frequent one being 0."""
    return f"tag-{place:05d}"


def draw(rng: np.random.Generator, *, count: int, start_ns: int, span_ns: int) -> Batch:
    """`count` measurements in the order of their times, all different."""
    # What is beyond the last tag falls to all of them alike.
    codes = rng.geometric(SHARE, count).astype(np.int64) - 1
    codes = np.where(codes < TAGS, codes, rng.integers(0, TAGS, count))
    times_ns: Ints = start_ns + np.arange(count, dtype=np.int64) * span_ns // count
    # Values do not change much from one to the next.
    values = np.round(100 + rng.standard_normal((count, VALUES)).cumsum(axis=0) / 100, 6)
    counts = np.full(count, VALUES, np.int64)
    return Batch(
        [tag_name(place) for place in range(TAGS)], codes, times_ns, counts, values.ravel()
    )


def payloads(batch: Batch, *, size: int) -> list[bytes]:
    """The batch as entries of the stream, `size` measurements each."""
    values = batch.values.reshape(-1, VALUES).tolist()
    rows = zip(batch.times_ns.tolist(), batch.codes.tolist(), values, strict=True)
    messages = [Measurement(time_ns, batch.names[code], row) for time_ns, code, row in rows]
    return [encode(messages[at : at + size]) for at in range(0, len(messages), size)]
