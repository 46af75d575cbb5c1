"""A batch into PostgreSQL's tables, in a transaction of the caller's.

Measurements are stored in blocks, see `timeseries.stores.packed`. A batch first notes what it
holds of each tag in each hour. That tells the last time that there was before, and keeps other
writers away from these hours until the commit. Rows that are later go into new blocks by a binary
COPY; late ones go among those they belong to, see `timeseries.stores.late`.

Rows are written in the order of tag and time. So a tag's blocks of one batch lie in the same
pages, and two writers take their locks in one order.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from logging import getLogger
from typing import Any

import numpy as np
from psycopg import Cursor

from runtime.stream import Entry
from timeseries.batches import Batch, Ints
from timeseries.partitions import HOUR_NS, Partition, make_partitions, partitions
from timeseries.stores.base import GRACE_NS, batch_of
from timeseries.stores.late import Block, hours, merge, run_starts
from timeseries.stores.packed import array_text, copy_blocks

log = getLogger(__name__)

# Late rows that are merged at a time, with as many blocks at most: 20 MB. PostgreSQL ends a
# transaction that stands idle, so it must not wait for all of them.
_LATE_ROWS = 5_000

_COPY = "COPY timeseries_block (tag_id, first_ns, times, values) FROM STDIN BINARY"
_FIND_TAGS = "SELECT name, id FROM timeseries_tag WHERE name = ANY(%s)"
_NEW_TAGS = """
INSERT INTO timeseries_tag (name) SELECT name FROM unnest(%s::text[]) AS new (name) ORDER BY name
ON CONFLICT (name) DO NOTHING
"""
# In the order of tag and hour, as they are given. `OLD` is what was there before; where it is lost,
# by somebody's hand, the blocks themselves are asked, since they must not overlap.
_NOTE_HOURS = """
WITH noted AS (
    INSERT INTO timeseries_taghour AS hour (tag_id, hour_ns, first_ns, last_ns, count)
    SELECT * FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
    ON CONFLICT (tag_id, hour_ns) DO UPDATE SET
        first_ns = least(hour.first_ns, excluded.first_ns),
        last_ns = greatest(hour.last_ns, excluded.last_ns),
        count = hour.count + excluded.count
    RETURNING tag_id, hour_ns, OLD.last_ns AS before_ns
)
SELECT string_agg(int8send(coalesce(before_ns, (
    SELECT times[cardinality(times)] FROM timeseries_block AS block
    WHERE block.tag_id = noted.tag_id
    AND first_ns >= noted.hour_ns AND first_ns < noted.hour_ns + 3600000000000
    ORDER BY first_ns DESC LIMIT 1
), -1)), '' ORDER BY tag_id, hour_ns) FROM noted
"""
_FEWER = """
UPDATE timeseries_taghour AS hour SET count = hour.count - fewer.count FROM (
    SELECT tag_id, hour_ns, sum(count)::bigint AS count
    FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS each (tag_id, hour_ns, count)
    GROUP BY tag_id, hour_ns
) AS fewer WHERE hour.tag_id = fewer.tag_id AND hour.hour_ns = fewer.hour_ns
"""
# The blocks that late rows belong to: of each the last one that begins at or before it in its hour.
# By OFFSET 0 each is looked up in its partition: a join might read all that is stored.
_BLOCKS = """
SELECT block.tag_id, block.first_ns, cardinality(times), array_send(times), values
FROM (
    SELECT DISTINCT before.tag_id, before.first_ns
    FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS late (tag_id, hour_ns, time_ns),
    LATERAL (
        SELECT tag_id, first_ns FROM timeseries_block
        WHERE tag_id = late.tag_id AND first_ns >= late.hour_ns AND first_ns <= late.time_ns
        ORDER BY first_ns DESC LIMIT 1
    ) AS before
) AS key,
LATERAL (
    SELECT * FROM timeseries_block
    WHERE tag_id = key.tag_id AND first_ns = key.first_ns OFFSET 0
) AS block
ORDER BY block.tag_id, block.first_ns
"""
# Of one hour, so that one partition is looked at.
_DELETE = """
DELETE FROM timeseries_block AS block USING unnest(%s::int[], %s::bigint[]) AS key (tag, first)
WHERE block.tag_id = key.tag AND block.first_ns = key.first
AND block.first_ns >= %s AND block.first_ns < %s
"""


class Apply:
    """Puts entries into the tables, in a transaction of the caller's.

    Remembers tags and partitions, all of which may turn out to be gone: then the transaction
    fails, and after `forget` the same entries go in.
    """

    def __init__(self, *, oldest_ns: Callable[[], int], partition_hours: int) -> None:
        self._oldest_ns = oldest_ns
        self._partition_hours = partition_hours
        # How many rows of the last batch went among those that were there.
        self.late_rows = 0
        self.forget()

    def forget(self) -> None:
        """Remember nothing."""
        self._ids: dict[str, int] = {}
        self._partitions: list[Partition] = []

    def __call__(self, cursor: Cursor[Any], entries: Sequence[Entry]) -> None:
        """Store the entries. Raises psycopg.Error, after which the caller forgets."""
        self.store(cursor, batch_of(entries))

    def store(self, cursor: Cursor[Any], batch: Batch) -> None:
        """Store the batch, in whatever order it is. Raises psycopg.Error, as above."""
        self.late_rows = 0
        batch = self._kept(batch)
        if not len(batch):
            return
        batch = replace(batch, codes=self._tag_ids(cursor, batch)[batch.codes]).latest()
        self._make_room(cursor, batch)
        late, fresh = batch.parted(batch.times_ns <= _note_hours(cursor, batch))
        self.late_rows = len(late)
        if len(fresh):
            _copy(cursor, fresh, run_starts(fresh.codes, hours(fresh.times_ns)))
        for first in range(0, len(late), _LATE_ROWS):
            rows = np.arange(first, min(first + _LATE_ROWS, len(late)))
            _put_late(cursor, late.taken(rows))

    def _kept(self, batch: Batch) -> Batch:
        kept = batch.times_ns >= self._oldest_ns() - GRACE_NS
        if kept.all():
            return batch
        log.warning("%d measurements came after their retention", len(batch) - int(kept.sum()))
        return batch.taken(np.flatnonzero(kept))

    def _tag_ids(self, cursor: Cursor[Any], batch: Batch) -> Ints:
        """The id of each name, 0 for those that the batch has no row of."""
        used = np.flatnonzero(np.bincount(batch.codes)).tolist()
        names = [batch.names[place] for place in used]
        if unknown := sorted({name for name in names if name not in self._ids}):
            self._find_tags(cursor, unknown)
            if missing := [name for name in unknown if name not in self._ids]:
                cursor.execute(_NEW_TAGS, (missing,))
                self._find_tags(cursor, missing)
        ids = np.zeros(len(batch.names), np.int64)
        ids[used] = [self._ids[name] for name in names]
        return ids

    def _find_tags(self, cursor: Cursor[Any], names: list[str]) -> None:
        self._ids.update(cursor.execute(_FIND_TAGS, (names,)).fetchall())

    def _make_room(self, cursor: Cursor[Any], batch: Batch) -> None:
        """See to it that there is a partition for every row."""
        hours_ns = np.unique(hours(batch.times_ns)).tolist()
        if missing := self._without_partition(hours_ns):
            self._partitions = partitions(cursor)
            if missing := self._without_partition(missing):
                self._partitions = make_partitions(cursor, missing, self._partition_hours)

    def _without_partition(self, hours_ns: list[int]) -> list[int]:
        return [
            hour_ns
            for hour_ns in hours_ns
            if not any(each.low_ns <= hour_ns < each.high_ns for each in self._partitions)
        ]


def _note_hours(cursor: Cursor[Any], batch: Batch) -> Ints:
    """Add the rows to what is known of their tags' hours; gives, for each row, the last time that
    its tag had in its hour before. Nobody else writes into these hours until the commit.
    """
    hours_ns = hours(batch.times_ns)
    starts = run_starts(batch.codes, hours_ns)
    ends = np.append(starts[1:], len(batch))
    times_ns = batch.times_ns
    columns = (batch.codes[starts], hours_ns[starts], times_ns[starts], times_ns[ends - 1])
    cursor.execute(_NOTE_HOURS, [_array(each) for each in (*columns, ends - starts)], binary=True)
    (before_ns,) = cursor.fetchone() or (b"",)
    return np.repeat(np.frombuffer(before_ns, ">i8").astype(np.int64), ends - starts)


def _put_late(cursor: Cursor[Any], late: Batch) -> None:
    """Put the rows among those that their tags have already."""
    columns = late.codes, hours(late.times_ns), late.times_ns
    found = cursor.execute(_BLOCKS, [_array(column) for column in columns], binary=True)
    merged = merge(late, [Block(*row) for row in found])
    gone_hours_ns = hours(merged.gone_ns)
    for hour_ns in np.unique(gone_hours_ns).tolist():
        gone = gone_hours_ns == hour_ns
        keys = _array(merged.gone_tags[gone]), _array(merged.gone_ns[gone])
        cursor.execute(_DELETE, (*keys, hour_ns, hour_ns + HOUR_NS))
    if len(merged.batch):
        _copy(cursor, merged.batch, merged.starts)
    if len(merged.replaced):
        columns = merged.tags, merged.hours_ns, merged.replaced
        cursor.execute(_FEWER, [_array(column) for column in columns])


def _copy(cursor: Cursor[Any], batch: Batch, starts: Ints) -> None:
    with cursor.copy(_COPY) as copy:
        for part in copy_blocks(batch, starts):
            copy.write(part)


def _array(numbers: Ints) -> str:
    """As text: psycopg looks at each number of a list, which takes ten times as long."""
    return array_text(numbers.tolist())
