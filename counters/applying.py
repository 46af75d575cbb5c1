"""Writes increments into the tables, inside a transaction that somebody else holds.

The drain and the replay of dead letters both write through here. Every statement goes through its
keys in order: two of these at once wait for each other, but never in a circle.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Cursor

from counters.folding import Claim, Dead, Folded, Sums
from counters.models import DeadLetter
from counters.partitions import HISTORY, IDEMPOTENCY, ensure_partitions
from counters.records import VALUE_MAX
from runtime.stream import Entry

IDEMPOTENCY_WINDOW = timedelta(hours=24)
# The most rows of one statement.
ROWS_MAX = 10_000
# Claims of one key may arrive in two streams: one drain after the other looks and inserts. A
# unique index cannot do it, since it cannot span partitions.
_CLAIMS_LOCK = 0x636C_6169_6D73

# A row that is too full to take its increment is locked, left alone, and missing in what returns.
_TOTALS_SQL = f"""
    INSERT INTO counters_counter AS counter (key, value, updated_at)
    SELECT key, value, now() FROM unnest(%s::uuid[], %s::bigint[]) AS new (key, value)
    ON CONFLICT (key) DO UPDATE
       SET value = counter.value + excluded.value, updated_at = excluded.updated_at
     WHERE counter.value <= {VALUE_MAX} - excluded.value
    RETURNING uuid_send(key), value
"""  # noqa: S608
_FULL_SQL = "SELECT uuid_send(key), value FROM counters_counter WHERE key = ANY(%s::uuid[])"
_FILL_SQL = f"""
    UPDATE counters_counter SET value = {VALUE_MAX}, updated_at = now()
     WHERE key = ANY(%s::uuid[]) AND value < {VALUE_MAX}
"""  # noqa: S608
# History cannot be over while the total is not, unless somebody deleted counters; even then it
# must not stand in the drain's way.
_HISTORY_SQL = f"""
    INSERT INTO counters_history AS history (width_s, bucket, key, value)
    SELECT %s, %s, key, value FROM unnest(%s::uuid[], %s::bigint[]) AS new (key, value)
    ON CONFLICT (width_s, bucket, key) DO UPDATE
       SET value = LEAST(history.value, {VALUE_MAX} - excluded.value) + excluded.value
"""  # noqa: S608
_CLAIMED_SQL = """
    SELECT key, at FROM counters_idempotencykey
     WHERE key = ANY(%s::text[]) AND at > %s AND at < %s
"""
_CLAIM_SQL = """
    INSERT INTO counters_idempotencykey (key, at)
    SELECT key, at FROM unnest(%s::text[], %s::timestamptz[]) AS new (key, at)
"""
_OVERFLOW_SQL = """
    INSERT INTO counters_deadletter AS dead
           (reason, stream, entry_id, key, value, detail, times, at, last_at, replayed_by_label)
    SELECT 'overflow', %s, %s, key, value, '', 1, now(), now(), ''
      FROM unnest(%s::uuid[], %s::numeric[]) AS new (key, value)
    ON CONFLICT (key) WHERE reason = 'overflow' AND replayed_at IS NULL DO UPDATE
       SET value = dead.value + excluded.value, times = dead.times + 1, last_at = now()
"""
_DEAD_SQL = """
    INSERT INTO counters_deadletter
           (reason, stream, entry_id, payload, detail, times, at, last_at, replayed_by_label)
    VALUES (%s, %s, %s, %s, %s, 1, now(), now(), '')
"""
_NUMBER_SQL = """
    INSERT INTO counters_totalspass AS pass (stream, number) VALUES (%s, 1)
    ON CONFLICT (stream) DO UPDATE SET number = pass.number + 1 RETURNING number
"""


@dataclass
class Applied:
    """What was done: `totals` are the new totals of the counters it changed, `repeated` counts
    groups whose idempotency key was known, `dead` dead letters. `number` is that of the last of
    `steps` among all of the stream.
    """

    totals: Sums = field(default_factory=dict)
    increments: int = 0
    repeated: int = 0
    dead: int = 0
    number: int = 0
    steps: int = 1

    def then(self, later: "Applied") -> "Applied":
        """This and what was done after it in the same transaction."""
        return Applied(
            totals={**self.totals, **later.totals},
            increments=self.increments + later.increments,
            repeated=self.repeated + later.repeated,
            dead=self.dead + later.dead,
            number=later.number or self.number,
            steps=self.steps + later.steps,
        )


def apply_entries(cursor: Cursor[Any], stream: str, entries: Sequence[Entry]) -> Applied:
    """Count the entries of a stream in the cursor's transaction. psycopg.Error undoes it all."""
    folded = Folded()
    folded.add_entries(entries)
    return apply_folded(cursor, stream, entries[-1].id.decode(), folded)


def apply_folded(cursor: Cursor[Any], stream: str, entry_id: str, folded: Folded) -> Applied:
    """Count what is folded; overflows are noted as of `entry_id`. Changes `folded`."""
    applied = Applied(repeated=_claim(cursor, folded))
    applied.increments = folded.increments
    excess = _apply_totals(cursor, folded.total(), applied)
    folded.take_back(excess)
    _apply_history(cursor, folded)
    _bury_excess(cursor, stream, entry_id, excess)
    for dead in folded.dead:
        bury(cursor, stream, dead, DeadLetter.Reason.UNREADABLE)
    applied.dead = len(excess) + len(folded.dead)
    applied.number = _number(cursor, stream)
    return applied


def bury(cursor: Cursor[Any], stream: str, dead: Dead, reason: DeadLetter.Reason) -> None:
    """Keep an entry as a dead letter."""
    entry_id, payload = dead.entry.id.decode(errors="replace"), dead.entry.payload
    cursor.execute(_DEAD_SQL, (reason.value, stream, entry_id, payload, dead.detail[:200]))


def _claim(cursor: Cursor[Any], folded: Folded) -> int:
    """Fold the groups whose key is new into the sums, and keep their keys; gives how many groups
    were not.
    """
    if not folded.claims:
        return 0
    times = [_moment(claim.at_ms) for claim in folded.claims]
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_CLAIMS_LOCK,))
    cursor.execute(
        _CLAIMED_SQL,
        (
            [claim.idempotency_key for claim in folded.claims],
            min(times) - IDEMPOTENCY_WINDOW,
            max(times) + IDEMPOTENCY_WINDOW,
        ),
    )
    known: dict[str, list[datetime]] = {}
    for key, at in cursor.fetchall():
        known.setdefault(key, []).append(at)
    new = [claim for claim in folded.claims if _is_new(claim, known)]
    for claim in new:
        folded.add(claim.block, claim.at_ms)
    _keep_claims(cursor, new)
    return len(folded.claims) - len(new)


def _is_new(claim: Claim, known: dict[str, list[datetime]]) -> bool:
    """Whether the key was not used within a day, either way: entries of two streams may be
    applied in another order than they were appended.
    """
    at = _moment(claim.at_ms)
    used = known.setdefault(claim.idempotency_key, [])
    if any(abs(at - other) < IDEMPOTENCY_WINDOW for other in used):
        return False
    used.append(at)
    return True


def _keep_claims(cursor: Cursor[Any], claims: Sequence[Claim]) -> None:
    if not claims:
        return
    times = [_moment(claim.at_ms) for claim in claims]
    ensure_partitions(cursor, [(IDEMPOTENCY, at) for at in times])
    cursor.execute(_CLAIM_SQL, ([claim.idempotency_key for claim in claims], times))


def _apply_totals(cursor: Cursor[Any], sums: Sums, applied: Applied) -> Sums:
    """Add to the totals; gives what of it found no room, by key."""
    excess: Sums = {}
    if sums and max(sums.values()) > VALUE_MAX:
        excess = {key: value - VALUE_MAX for key, value in sums.items() if value > VALUE_MAX}
        sums = {key: min(value, VALUE_MAX) for key, value in sums.items()}
    for part, keys, values in _columns(sums):
        cursor.execute(_TOTALS_SQL, (keys, values), binary=True)
        new = dict(cursor.fetchall())
        applied.totals.update(new)
        if len(new) < len(part):
            for key, left in _fill(cursor, [key for key in part if key not in new], sums, applied):
                excess[key] = excess.get(key, 0) + left
    return excess


def _fill(
    cursor: Cursor[Any], keys: Sequence[bytes], sums: Sums, applied: Applied
) -> Iterator[tuple[bytes, int]]:
    """Fill totals to the brim; gives what is left of each counter's sum. The rows are locked."""
    literal = _uuids(keys)
    cursor.execute(_FULL_SQL, (literal,), binary=True)
    before: dict[bytes, int] = dict(cursor.fetchall())
    cursor.execute(_FILL_SQL, (literal,))
    for key in keys:
        applied.totals[key] = VALUE_MAX
        yield key, sums[key] - (VALUE_MAX - before[key])


def _apply_history(cursor: Cursor[Any], folded: Folded) -> None:
    buckets = [
        (width_s, datetime.fromtimestamp(start_s, UTC), sums)
        for width_s in HISTORY
        for start_s, sums in folded.buckets(width_s)
    ]
    ensure_partitions(cursor, [(HISTORY[width_s], at) for width_s, at, _ in buckets])
    # Usually one minute is also all of its hour and day: then one set of columns serves all three.
    columns: dict[int, list[tuple[list[bytes], str, str]]] = {}
    for width_s, at, sums in buckets:
        for _, keys, values in columns.setdefault(id(sums), list(_columns(sums))):
            cursor.execute(_HISTORY_SQL, (width_s, at, keys, values))


def _bury_excess(cursor: Cursor[Any], stream: str, entry_id: str, excess: Sums) -> None:
    for _, keys, values in _columns(excess):
        cursor.execute(_OVERFLOW_SQL, (stream, entry_id, keys, values))


def _number(cursor: Cursor[Any], stream: str) -> int:
    cursor.execute(_NUMBER_SQL, (stream,))
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def _columns(sums: Sums) -> Iterator[tuple[list[bytes], str, str]]:
    """Keys in order, at most `ROWS_MAX` at a time, with two PostgreSQL array literals: keys and
    sums. Literals, because adapting 10 000 objects one by one takes ten times as long.
    """
    ordered = sorted(sums)
    for start in range(0, len(ordered), ROWS_MAX):
        part = ordered[start : start + ROWS_MAX]
        yield part, _uuids(part), f"{{{','.join([str(sums[key]) for key in part])}}}"


def _uuids(keys: Sequence[bytes]) -> str:
    return f"{{{','.join([key.hex() for key in keys])}}}"


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
