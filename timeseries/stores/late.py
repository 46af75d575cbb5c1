"""Late measurements: those that go among what their tag has already. Pure, over numpy.

A late row belongs to the last block that begins at or before it, in its hour. Within that block
it replaces the row of its time or goes between two; beyond its end it goes behind it, or, when the
block is full, into a block of its own. So blocks never overlap, and of an hour that holds
thousands only those are written again which change.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from timeseries.batches import Batch, Ints, Rows
from timeseries.partitions import HOUR_NS
from timeseries.stores.packed import block_rows, rows_of


class Block(NamedTuple):
    """A block as PostgreSQL gives it: `times` by array_send."""

    tag_id: int
    first_ns: int
    length: int
    times: bytes
    values: bytes


@dataclass(frozen=True, slots=True)
class Merged:
    """What late rows make of blocks: those of the `gone` keys go, and `batch` comes, cut at
    `starts`. As many rows as `replaced` says were there before, of each of these tags and hours.
    """

    gone_tags: Ints
    gone_ns: Ints
    batch: Batch
    starts: Ints
    tags: Ints
    hours_ns: Ints
    replaced: Ints


def hours(times_ns: Ints) -> Ints:
    """The beginning of the hour of each."""
    found: Ints = times_ns // HOUR_NS * HOUR_NS
    return found


def run_starts(*columns: Ints) -> Ints:
    """Where any of the columns, which are of one length, changes."""
    first = np.ones(len(columns[0]), np.bool_)
    first[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return np.flatnonzero(first)


def merge(late: Batch, blocks: Sequence[Block]) -> Merged:
    """The late rows among the rows of the blocks they belong to, which are in the order of tag
    and time, as `late` is.
    """
    known = _Known.of(blocks)
    places, homes = _homes(late, known)
    # A group is what goes into one block, or into its successors when it grows too large.
    starts = run_starts(late.codes, hours(late.times_ns), places, homes)
    groups = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(late))))
    group_of = np.full(len(blocks) + 1, -1, np.int64)
    group_of[homes[starts]] = np.arange(len(starts))
    group_of = group_of[:-1]
    before = _grouped(known.rows, np.repeat(group_of, known.lengths))
    merged = Batch.stacked([], [before.codes, groups], [before, late]).latest()
    old, added, new = (
        np.bincount(each, minlength=len(starts)) for each in (before.codes, groups, merged.codes)
    )
    changed = ~_alike(before, merged, (old == new) & (old > 0))
    gone = np.flatnonzero((group_of >= 0) & changed[group_of])
    batch = merged.taken(np.flatnonzero(changed[merged.codes]))
    replaced = old + added - new
    repeated = starts[replaced > 0]
    return Merged(
        gone_tags=known.tags[gone],
        gone_ns=known.firsts_ns[gone],
        starts=run_starts(batch.codes),
        batch=replace(batch, codes=late.codes[starts][batch.codes]),
        tags=late.codes[repeated],
        hours_ns=hours(late.times_ns[repeated]),
        replaced=replaced[replaced > 0],
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """Blocks as columns: `widths` of their rows, `ends_ns` the last time of each."""

    tags: Ints
    firsts_ns: Ints
    ends_ns: Ints
    lengths: Ints
    widths: Ints
    rows: Rows

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> "_Known":
        lengths = np.array([block.length for block in blocks], np.int64)
        sizes = np.array([len(block.values) for block in blocks], np.int64)
        times = b"".join(block.times for block in blocks)
        rows = rows_of(lengths, times, sizes, b"".join(block.values for block in blocks))
        return cls(
            tags=np.array([block.tag_id for block in blocks], np.int64),
            firsts_ns=np.array([block.first_ns for block in blocks], np.int64),
            ends_ns=rows.times_ns[np.cumsum(lengths) - 1],
            lengths=lengths,
            widths=sizes // (8 * lengths),
            rows=rows,
        )


def _blocks_before(late: Batch, tags: Ints, firsts_ns: Ints) -> Ints:
    """The place of the block that each row belongs to, -1 where its hour has none before it.

    `late` is in the order of tag and time, and so are the blocks' keys.
    """
    count = len(tags)
    is_late = np.repeat([False, True], [count, len(late)])
    times_ns = np.append(firsts_ns, late.times_ns)
    order = np.lexsort((is_late, times_ns, np.append(tags, late.codes)))
    found = np.maximum.accumulate(np.where(order < count, order, -1))
    places: Ints = np.full(len(late), -1, np.int64)
    places[order[order >= count] - count] = found[order >= count]
    if count:
        same_tag = tags[places] == late.codes
        same_hour = hours(firsts_ns[places]) == hours(late.times_ns)
        places[~(same_tag & same_hour)] = -1
    return places


def _homes(late: Batch, known: _Known) -> tuple[Ints, Ints]:
    """The block that each row belongs to, and the one that it goes into: -1 for one of its own."""
    places = _blocks_before(late, known.tags, known.firsts_ns)
    homes = places.copy()
    if len(known.tags):
        full = known.lengths >= block_rows(known.widths)
        homes[full[places] & (late.times_ns > known.ends_ns[places])] = -1
    return places, homes


def _grouped(rows: Rows, groups: Ints) -> Batch:
    """The rows that are in a group, with its number as their code."""
    rows = rows.part(groups >= 0)
    return Batch([], groups[groups >= 0], rows.times_ns, rows.counts, rows.values)


def _alike(before: Batch, merged: Batch, candidates: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the candidates, groups with as many rows as before, are what they were."""
    alike = np.zeros(len(candidates), np.bool_)
    chosen = np.flatnonzero(candidates)
    for group, old, new in zip(
        chosen.tolist(), _slices(before, chosen), _slices(merged, chosen), strict=True
    ):
        # The times are the same: none was taken away. As bits, since -0.0 is not 0.0.
        alike[group] = (
            before.counts[old[0]].tobytes() == merged.counts[new[0]].tobytes()
            and before.values[old[1]].tobytes() == merged.values[new[1]].tobytes()
        )
    return alike


def _slices(batch: Batch, groups: Ints) -> Iterator[tuple[slice, slice]]:
    """The rows and the values of each of the groups, which `codes` tells in ascending order."""
    ends = np.append(0, np.cumsum(batch.counts))
    firsts = np.searchsorted(batch.codes, groups)
    lasts = np.searchsorted(batch.codes, groups, side="right")
    bounds = (firsts.tolist(), lasts.tolist(), ends[firsts].tolist(), ends[lasts].tolist())
    for first, last, start, end in zip(*bounds, strict=True):
        yield slice(first, last), slice(start, end)
