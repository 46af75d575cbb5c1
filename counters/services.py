"""Writes that people and the clock ask for: the replay of dead letters, and retention."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from psycopg import Connection, Cursor, DataError, IntegrityError
from psycopg.rows import class_row

from commons.connecting import connect
from counters.applying import IDEMPOTENCY_WINDOW, apply_folded
from counters.drain import TABLES
from counters.folding import Folded
from counters.models import DeadLetter
from counters.partitions import (
    FAMILIES,
    HISTORY,
    IDEMPOTENCY,
    Family,
    drop_partition,
    ended_partitions,
    ensure_partitions,
)
from counters.payload import Block
from counters.records import VALUE_MAX
from counters.totals import streams
from runtime.drain import forget_writers
from runtime.redis_where import open_redis
from runtime.stream import Entry, Stream

# Somebody, or the name of a part of the system.
Actor = AbstractBaseUser | AnonymousUser | str
# A partition cannot be dropped while somebody reads its table: the next run does it then.
_LOCK_WAIT_MS = 2_000

# In the order of the drain, which comes to a dead letter when it holds the counter.
_LOCK_COUNTER_SQL = """
    SELECT FROM counters_counter
     WHERE key = (SELECT key FROM counters_deadletter WHERE id = %s) FOR UPDATE
"""
_LETTER_SQL = """
    SELECT id, reason, stream, entry_id, key, value, payload FROM counters_deadletter
     WHERE id = %s AND replayed_at IS NULL FOR UPDATE
"""
_ROOM_SQL = "SELECT %s - coalesce((SELECT value FROM counters_counter WHERE key = %s), 0)"
_REPLAYED_SQL = """
    UPDATE counters_deadletter
       SET replayed_at = now(), replayed_by_id = %s, replayed_by_label = %s WHERE id = %s
"""


class Replayed(NamedTuple):
    """How many dead letters were counted, and how many were left as they are."""

    counted: int
    left: int

    @property
    def words(self) -> str:
        """The result for people."""
        if not self.left:
            return f"{self.counted} replayed"
        return f"{self.counted} replayed, {self.left} still cannot be counted"


class _Letter(NamedTuple):
    id: int
    reason: str
    stream: str
    entry_id: str
    key: Any
    value: Any
    payload: Any


def dead_letters_replay(*, ids: Sequence[int], actor: Actor) -> Replayed:
    """Count dead letters now, each whole or as far as its total has room, and each in a
    transaction of its own: psycopg.Error means that those before it are counted.

    What finds no room even now is a dead letter again; what cannot be read or is refused again
    stays as it was. Idempotency keys in them hold as of when they were sent. Ids of dead letters
    that are not there or were replayed are passed over.
    """
    with connect() as connection:
        done = [_replay(connection, letter_id, actor) for letter_id in sorted(ids)]
    return Replayed(counted=done.count(True), left=done.count(False))


def _replay(connection: Connection[Any], letter_id: int, actor: Actor) -> bool | None:
    """Whether anything of the letter counts now; None if there is none to replay."""
    try:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(_LOCK_COUNTER_SQL, (letter_id,))
            letters = connection.cursor(row_factory=class_row(_Letter))
            letter = letters.execute(_LETTER_SQL, (letter_id,)).fetchone()
            if letter is None:
                return None
            folded = _fold(cursor, letter)
            if folded is None:
                return False
            _count(cursor, letter, folded, actor)
    except (DataError, IntegrityError):
        return False
    return True


def _count(cursor: Cursor[Any], letter: _Letter, folded: Folded, actor: Actor) -> None:
    user_id, label = (None, actor) if isinstance(actor, str) else (actor.pk, actor.get_username())
    # First, or what finds no room would be added to this very letter.
    cursor.execute(_REPLAYED_SQL, (user_id, label[:150], letter.id))
    known = streams()
    stream = letter.stream if letter.stream in known else known[0]
    # The stream's number grows with it: so the next pass of its drain finds that the cache has
    # missed something.
    apply_folded(cursor, stream, letter.entry_id, folded)


def _fold(cursor: Cursor[Any], letter: _Letter) -> Folded | None:
    """What the letter holds; None if it still is nothing that can be counted."""
    folded = Folded()
    if letter.reason == DeadLetter.Reason.OVERFLOW:
        cursor.execute(_ROOM_SQL, (VALUE_MAX, letter.key))
        row = cursor.fetchone()
        if row is None or not row[0]:
            return None
        now_ms = int(timezone.now().timestamp() * 1000)
        folded.add(Block(0, (letter.key.bytes,), (int(letter.value),)), now_ms)
        return folded
    entry_id = letter.entry_id.encode()
    at_ms = int(entry_id.partition(b"-")[0])
    folded.add_entries([Entry(entry_id, at_ms, b"replay", 0, bytes(letter.payload))])
    return None if folded.dead else folded


class Retained(NamedTuple):
    """What retention did: partitions made ahead and dropped, writers forgotten."""

    made: int
    dropped: list[str]
    writers: int


def counters_retain(*, now: datetime) -> Retained:
    """Drop history and idempotency keys that are too old, make the partitions that will be needed
    next, and forget writers that are gone. redis.RedisError and psycopg.Error: some of it is done,
    the next run does the rest.
    """
    with connect() as connection:
        made = _make_ahead(connection, now)
        dropped = _drop_old(connection, now)
        client = open_redis(settings.REDIS_URL)
        writers = sum(
            forget_writers(connection=connection, stream=Stream(client, key), tables=TABLES)
            for key in streams()
        )
        client.close()
    return Retained(made, dropped, writers)


def _make_ahead(connection: Connection[Any], now: datetime) -> int:
    needed = [(family, at) for family in FAMILIES for at in (now, family.bounds(now)[1])]
    with connection.transaction(), connection.cursor() as cursor:
        return len(ensure_partitions(cursor, needed))


def _drop_old(connection: Connection[Any], now: datetime) -> list[str]:
    dropped = []
    for family, before in _horizons(now):
        with connection.cursor() as cursor:
            for name in list(ended_partitions(cursor, family, before)):
                # A transaction each: it holds up everybody who uses the table.
                with connection.transaction():
                    cursor.execute(
                        "SELECT set_config('lock_timeout', %s, true)", (str(_LOCK_WAIT_MS),)
                    )
                    drop_partition(cursor, name)
                dropped.append(name)
    return dropped


def _horizons(now: datetime) -> list[tuple[Family, datetime]]:
    """Before when each family's rows are not needed. Idempotency keys of entries that were not
    drained for a while are looked for as of then: hence twice the window.
    """
    kept = settings.COUNTERS_KEPT_DAYS
    return [
        *((family, now - timedelta(days=kept[width_s])) for width_s, family in HISTORY.items()),
        (IDEMPOTENCY, now - 2 * IDEMPOTENCY_WINDOW),
    ]
