"""The statements of a write of ads. For `adserver.services` only, inside its transaction.

Plain SQL: one change of an ad spent more than half of its time in Django's compiler. It is two
messages: BEGIN, lock and read; then row, entry and COMMIT. Many rows go in by COPY: 10 000 ads with
their log entries take 1.0 s in place of bulk_create's 3.6, most of which PostgreSQL spends on the
indexes. (On two shared cores.)
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from msgspec.structs import astuple
from psycopg import sql

from adserver.models import Ad, AdChange
from adserver.records import AdRecord, StoredAd
from commons.prepared import Call, Statement, Transaction, run

_RECORD_COLUMNS = AdRecord.__struct_fields__
_AD_COLUMNS = (*_RECORD_COLUMNS, "updated_at", "closed_at")


class LogRow(NamedTuple):
    """One row of the change log; the names are the columns, `ad` is JSON text."""

    version: int
    operation: str
    ad_id: UUID
    ad: str | None
    actor_id: int | None
    actor_label: str
    created_at: datetime


_TAKE_LOCK = Statement(
    "adserver_lock",
    """
    SELECT pg_current_xact_id()::text, set_config('lock_timeout', $1, true),
           set_config('idle_in_transaction_session_timeout', $2, true), pg_advisory_xact_lock($3)
    """,
    has_row=True,
)
# Version and ad are of one moment, since one statement reads them. As JSON: of all forms in which
# PostgreSQL gives an ad we read it fastest, in a tenth of the time that its columns take. Its times
# are in the session's zone, which Django sets to UTC.
_READ = Statement(
    "adserver_read",
    f"""
    SELECT (SELECT coalesce(max(version), 0) FROM adserver_adchange),
           (SELECT row_to_json(ad)::text
              FROM (SELECT {", ".join(_RECORD_COLUMNS)} FROM adserver_ad WHERE id = $1) AS ad)
    """,  # noqa: S608
    has_row=True,
)


def _places(count: int) -> str:
    return ", ".join([f"${number}" for number in range(1, count + 1)])


def _insert(name: str, table: str, columns: Sequence[str]) -> Statement:
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({_places(len(columns))})"  # noqa: S608
    return Statement(name, statement)


def _update(name: str, columns: Sequence[str]) -> Statement:
    """Of the ad whose id is the first value."""
    values = f"({', '.join(columns)}) = ROW({_places(len(columns))})"
    return Statement(name, f"UPDATE adserver_ad SET {values} WHERE id = $1")  # noqa: S608


_PUT = _insert("adserver_put", "adserver_ad", _AD_COLUMNS)
_LOG = _insert("adserver_log", "adserver_adchange", LogRow._fields)
_REWRITE = _update("adserver_rewrite", _AD_COLUMNS)
# PostgreSQL and we are done sooner with a third of the values, and most changes are no others.
_TEXT_COLUMNS = ("id", "title", "content", "version", "updated_at", "closed_at")
_REWORD = _update("adserver_reword", _TEXT_COLUMNS)
_DROP = Statement("adserver_drop", "DELETE FROM adserver_ad WHERE id = $1")


class Opened(NamedTuple):
    """What a write finds once it has the lock: its transaction's number, the last version of the
    log (0 when it is empty), and the JSON of the ad that it is about, if there is one.
    """

    xid: str
    version: int
    ad: str | None


def open_catalog(
    within: Transaction, ad_id: UUID | None, *, lock: int, wait_ms: int, stall_ms: int
) -> Opened:
    """Take the catalog's lock for this transaction, and read what a write starts from. Raises what
    Django raises when the lock is not to be had in `wait_ms`. A transaction that then says nothing
    for `stall_ms` is ended by PostgreSQL, and its connection with it.
    """
    # Two statements: each sees what was committed when it began, so the second all of it.
    (xid, *_), (version, ad) = within.run(
        Call(_TAKE_LOCK, [f"{wait_ms}ms", f"{stall_ms}ms", lock]), Call(_READ, [ad_id])
    )
    return Opened(xid, version, ad)


def putting(ad: StoredAd) -> Call:
    """Insert an ad."""
    return Call(_PUT, _values(ad))


def rewriting(ad: StoredAd) -> Call:
    """Put a changed ad in place of the old one, under the catalog's lock."""
    return Call(_REWRITE, _values(ad))


def rewording(ad: StoredAd) -> Call:
    """The same for an ad of which only the text has changed, and what every change changes."""
    new = ad.record
    values = [new.id, new.title, new.content, new.version, ad.updated_at, ad.closed_at]
    return Call(_REWORD, values)


def dropping(ad_id: UUID) -> Call:
    """Delete an ad, under the catalog's lock."""
    return Call(_DROP, [ad_id])


def put_change(within: Transaction, row: Call, entry: LogRow) -> None:
    """Write an ad's row and its log entry, the last of this transaction. Raises what Django raises
    for a database error.
    """
    within.run(row, Call(_LOG, entry), last=True)


def put_log(rows: Sequence[LogRow]) -> None:
    """Insert log entries. Raises what Django raises for a database error."""
    _copy(AdChange._meta.db_table, LogRow._fields, rows)


def put_ads(ads: Sequence[StoredAd]) -> None:
    """Insert ads. Raises what Django raises for a database error."""
    _copy(Ad._meta.db_table, _AD_COLUMNS, map(_values, ads))


def rewrite_ads(ads: Sequence[StoredAd]) -> None:
    """Put changed ads in place of the old ones, under the catalog's lock.

    An UPDATE of each kept the lock for 1 ms an ad, DELETE and COPY of all keep it for 0.15 ms.
    """
    if len(ads) == 1:
        run(rewriting(ads[0]))
    else:
        Ad.objects.filter(pk__in=[ad.id for ad in ads]).delete()
        put_ads(ads)


def _values(ad: StoredAd) -> list[Any]:
    """As `_AD_COLUMNS` has them."""
    values = [*astuple(ad.record), ad.updated_at, ad.closed_at]
    # A tuple is another type than an array.
    return [list(value) if type(value) is tuple else value for value in values]


def _copy(table: str, columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.copy(statement) as copy,
    ):
        for row in rows:
            copy.write_row(row)
