"""From a stream into PostgreSQL, each batch exactly once.

One transaction takes the stream's lock, reads the oldest entries, applies those that are news, and
notes the highest batch number of each writer beside what it applied. Only after the commit are the
entries removed. Wherever this ends, starting again is right: what was committed is known by its
number, whatever Redis still holds, and what was not is read again.

A batch that was refused to its sender must not count if it turns up after all. That one batch is
noted in the table of writers, as a row whose `writer` is the writer's id and the batch's number in
8 bytes: batches before it may be safe in the stream, and count.

The lock is the transaction's, and PostgreSQL ends a transaction that stands idle. So a drainer
that was stopped in its tracks loses lock and transaction together; when it wakes it can only fail.

Each domain has two tables of its own, which its migrations make:

    <cursor>(stream text PRIMARY KEY, last_id text, at_ms bigint, updated_at timestamptz)
    <writer>(stream text, writer bytea, seq bigint, updated_at timestamptz,
             PRIMARY KEY (stream, writer))

The cursor is for people and for stores outside PostgreSQL; nothing is decided by it here.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from logging import getLogger
from typing import Any, LiteralString

import redis
from psycopg import Connection, Cursor, sql

from runtime.stream import Entry, Stream

log = getLogger(__name__)

Apply = Callable[[Cursor[Any], list[Entry]], None]


@dataclass(frozen=True, kw_only=True)
class DrainTables:
    """The names of a domain's two tables."""

    cursor: str
    writer: str

    def query(self, text: LiteralString) -> sql.Composed:
        """The statement with `{cursor}` and `{writer}` filled in."""
        return sql.SQL(text).format(
            cursor=sql.Identifier(self.cursor), writer=sql.Identifier(self.writer)
        )


@dataclass(frozen=True, kw_only=True)
class DrainLimits:
    """The most that one transaction takes, and how long it may stand idle or wait for a row."""

    entries: int = 2_000
    payload_bytes: int = 16 * 1024 * 1024
    idle_ms: int = 5_000
    lock_ms: int = 5_000


@dataclass(frozen=True, kw_only=True)
class Drained:
    """What one run did. `applied` counts entries; `repeated` those that were applied before.

    `standby`: another drainer has the stream. `more`: a limit was reached, so there is probably
    more. `at_ms`: when the last entry read was appended, None when nothing was read.
    """

    standby: bool = False
    applied: int = 0
    repeated: int = 0
    more: bool = False
    trimmed: bool = True
    at_ms: int | None = None


def drain_once(
    *,
    connection: Connection[Any],
    stream: Stream,
    apply: Apply,
    tables: DrainTables,
    limits: DrainLimits | None = None,
) -> Drained:
    """Apply the oldest entries of the stream in one transaction, then remove them from it.

    `apply` gets the transaction's cursor and the entries that are news, oldest first; what it
    raises undoes everything. `connection` must not be inside a transaction. redis.RedisError and
    psycopg.Error mean that nothing is known to be applied, and trying again is right.
    """
    limits = limits or DrainLimits()
    with connection.transaction(), connection.cursor() as cursor:
        if not _lock(cursor, stream.key, limits):
            return Drained(standby=True)
        entries = stream.read(limits.entries, limits.payload_bytes)
        if not entries:
            return Drained()
        news = _apply_news(cursor, stream.key, entries, apply, tables)
    return Drained(
        applied=len(news),
        repeated=len(entries) - len(news),
        more=len(entries) >= limits.entries
        or sum(len(entry.payload) for entry in entries) >= limits.payload_bytes // 2,
        trimmed=_trim(stream, entries),
        at_ms=entries[-1].at_ms,
    )


def settle(
    *, connection: Connection[Any], tables: DrainTables, stream: str, writer: bytes, seq: int
) -> bool:
    """Decide once and for all whether the writer's batch counts.

    True: a drain has applied it. False: none has, and none will, should the batch ever appear.
    psycopg.Error: undecided. Waits for a drain that is at this writer's batches just now.
    """
    with connection.transaction(), connection.cursor() as cursor:
        if _seqs(cursor, stream, [writer], tables)[writer] >= seq:
            return True
        cursor.execute(
            tables.query(
                "INSERT INTO {writer} (stream, writer, seq, updated_at) VALUES (%s, %s, %s, now())"
                " ON CONFLICT DO NOTHING"
            ),
            (stream, _refusal(writer, seq), seq),
        )
    return False


def forget_writers(
    *, connection: Connection[Any], stream: Stream, tables: DrainTables, hours: int = 48
) -> int:
    """Remove writers that were silent for `hours` and have nothing left in the stream; their
    number. A stream whose oldest entry is older than a writer's last word may hold its batches.
    """
    oldest_ms = stream.oldest_ms()
    query = tables.query(
        "DELETE FROM {writer} WHERE stream = %s AND updated_at < now() - make_interval(hours => %s)"
        " AND (%s::bigint IS NULL OR updated_at < to_timestamp(%s::bigint / 1000.0))"
    )
    return connection.execute(query, (stream.key, hours, oldest_ms, oldest_ms)).rowcount


def _lock(cursor: Cursor[Any], key: str, limits: DrainLimits) -> bool:
    cursor.execute(
        "SELECT pg_try_advisory_xact_lock(%s),"
        " set_config('idle_in_transaction_session_timeout', %s, true),"
        " set_config('lock_timeout', %s, true)",
        (_lock_number(key), str(limits.idle_ms), str(limits.lock_ms)),
    )
    row = cursor.fetchone()
    return bool(row and row[0])


def _lock_number(key: str) -> int:
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _apply_news(
    cursor: Cursor[Any], key: str, entries: Sequence[Entry], apply: Apply, tables: DrainTables
) -> list[Entry]:
    writers = sorted({entry.writer for entry in entries if entry.writer})
    seqs = _seqs(cursor, key, writers, tables)
    refused = _refused(cursor, key, writers, tables)
    news = []
    for entry in entries:
        if not entry.writer:
            news.append(entry)
        elif entry.seq > seqs[entry.writer]:
            seqs[entry.writer] = entry.seq
            if _refusal(entry.writer, entry.seq) not in refused:
                news.append(entry)
    if news:
        apply(cursor, news)
    if writers:
        _note_writers(cursor, key, seqs, tables)
    last = entries[-1]
    cursor.execute(
        tables.query(
            "INSERT INTO {cursor} (stream, last_id, at_ms, updated_at) VALUES (%s, %s, %s, now())"
            " ON CONFLICT (stream) DO UPDATE SET last_id = excluded.last_id,"
            " at_ms = excluded.at_ms, updated_at = excluded.updated_at"
        ),
        (key, last.id.decode(), last.at_ms),
    )
    return news


def _seqs(
    cursor: Cursor[Any], key: str, writers: list[bytes], tables: DrainTables
) -> dict[bytes, int]:
    """The highest number applied of each writer, 0 for a new one; nobody else can change them
    before this transaction ends. In the order of the writers, so that two of these do not
    deadlock.
    """
    cursor.execute(
        tables.query(
            "INSERT INTO {writer} (stream, writer, seq, updated_at)"
            " SELECT %s, writer, 0, now() FROM unnest(%s::bytea[]) AS new (writer)"
            " ORDER BY writer ON CONFLICT DO NOTHING"
        ),
        (key, writers),
    )
    cursor.execute(
        tables.query(
            "SELECT writer, seq FROM {writer} WHERE stream = %s AND writer = ANY(%s::bytea[])"
            " ORDER BY writer FOR UPDATE"
        ),
        (key, writers),
    )
    return {bytes(writer): seq for writer, seq in cursor.fetchall()}


def _refusal(writer: bytes, seq: int) -> bytes:
    """Whom the row of a refused batch names as its writer."""
    return writer + seq.to_bytes(8, "big")


def _refused(
    cursor: Cursor[Any], key: str, writers: list[bytes], tables: DrainTables
) -> set[bytes]:
    """The refusals of batches of these writers, whose rows this transaction holds: no other can
    come before it ends.
    """
    cursor.execute(
        tables.query(
            "SELECT known.writer FROM unnest(%s::bytea[]) AS new (writer)"
            " JOIN {writer} AS known ON known.stream = %s AND known.writer > new.writer"
            r" AND known.writer < new.writer || '\xffffffffffffffff'::bytea"
        ),
        (writers, key),
    )
    return {bytes(writer) for (writer,) in cursor.fetchall()}


def _note_writers(
    cursor: Cursor[Any], key: str, seqs: dict[bytes, int], tables: DrainTables
) -> None:
    cursor.execute(
        tables.query(
            "UPDATE {writer} AS known SET seq = new.seq, updated_at = now()"
            " FROM unnest(%s::bytea[], %s::bigint[]) AS new (writer, seq)"
            " WHERE known.stream = %s AND known.writer = new.writer AND known.seq < new.seq"
        ),
        (list(seqs), list(seqs.values()), key),
    )


def _trim(stream: Stream, entries: Sequence[Entry]) -> bool:
    """What is not removed now is read again, known by its numbers, and removed then."""
    try:
        return stream.trim(entries[0].id, entries[-1].id)
    except (redis.RedisError, OSError) as error:
        log.warning("%s keeps what was applied for now: %s", stream.key, error)
        return False
