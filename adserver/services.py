"""Every write of an ad: the row and its log entry in one transaction, the hint after commit.

All writes pass one transaction-scoped advisory lock, taken before anything is read, so versions
are gapless and in the order of the commits: a plain sequence would let a late commit slip behind
a replica's cursor. The lock is held for one commit; reads never take it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from django.db import InternalError, OperationalError, connection, transaction
from django.utils import timezone
from msgspec.structs import asdict, replace
from psycopg.errors import IdleInTransactionSessionTimeout, LockNotAvailable

from adserver.hints import publish_version
from adserver.models import Ad, AdChange, new_ad_id, record_of
from adserver.outcome import was_committed
from adserver.records import (
    TITLE_CHARACTERS,
    Actor,
    AdFields,
    AdRecord,
    InvalidAdError,
    StoredAd,
    fields_of,
    parse_record,
    render,
)
from adserver.selectors import trimmable_changes
from adserver.storing import (
    LogRow,
    Opened,
    dropping,
    open_catalog,
    put_ads,
    put_change,
    put_log,
    putting,
    rewording,
    rewrite_ads,
    rewriting,
)
from commons.prepared import Call, Transaction, transacting
from runtime.errors import BusyError, ConflictError, NotFoundError

# Any number no other advisory lock of the product uses.
CATALOG_LOCK = 0x6164_6C6F_67
IMPORT_ROWS_MAX = 10_000
CLOSE_BATCH = 1_000
# A write that has stood in line for so long behind others gives up, rather than let a long import
# take every connection and thread of the api.
LOCK_WAIT_MS = 10_000
# A writer that stands still with the lock, as on a frozen host, loses it: all others wait for it.
STALL_MS = 15_000
Operation = AdChange.Operation


class AdNotFoundError(NotFoundError):
    """There is no ad with that id."""

    def __init__(self, ad_id: UUID) -> None:
        super().__init__(f"id: there is no ad {ad_id}")


class CatalogBusyError(BusyError):
    """Another write, such as a long import, kept the catalog's lock for `LOCK_WAIT_MS`."""

    def __init__(self) -> None:
        super().__init__("catalog: another write takes long, nothing was accepted")


class TooManyRowsError(ConflictError):
    """An import is larger than one transaction should be."""


class _Log:
    """The log entries of one transaction, in order, with their versions, and the ad that the
    transaction is about, if it is about one.
    """

    def __init__(self, within: Transaction, actor: Actor, ad_id: UUID | None) -> None:
        self.xid, self.version, self._ad = _open(within, ad_id)
        self._within = within
        self._ad_id = ad_id
        self._row_write: Call | None = None
        # From then on only PostgreSQL knows whether it was committed.
        self.committing = False
        self.at = timezone.now()
        self._actor = actor
        self._rows: list[LogRow] = []

    @property
    def ad(self) -> AdRecord:
        """The ad as it stands under the lock, as `need_ad`."""
        return parse_record(self.need_ad())

    def need_ad(self) -> str:
        """Its JSON. AdNotFoundError when there is none."""
        if self._ad is None:
            assert self._ad_id is not None
            raise AdNotFoundError(self._ad_id)
        return self._ad

    def add(self, operation: Operation, record: AdRecord) -> None:
        """An entry of the ad as it is from now on."""
        self._add(operation, record.id, render(record).decode())

    def add_delete(self, ad_id: UUID) -> None:
        """An entry of the next version, which has no such ad."""
        self.next_version()
        self._add(Operation.DELETE, ad_id, None)

    def _add(self, operation: Operation, ad_id: UUID, ad: str | None) -> None:
        actor = self._actor
        label = actor.label[:150]
        self._rows.append(
            LogRow(self.version, operation.value, ad_id, ad, actor.user_id, label, self.at)
        )

    def next_version(self) -> int:
        self.version += 1
        return self.version

    @property
    def last_entry(self) -> LogRow:
        """Of those that there are."""
        return self._rows[-1]

    def with_row(self, row: Call) -> None:
        """Let the write of a single row go in one message with its entry."""
        self._row_write = row

    def write(self) -> None:
        if self._row_write is not None:
            [entry] = self._rows
            self.committing = True
            put_change(self._within, self._row_write, entry)
        elif self._rows:
            put_log(self._rows)
            self.committing = True
        else:
            return
        last = self.version
        self._within.once_committed(lambda: publish_version(last))


@contextmanager
def _writing(actor: Actor, ad_id: UUID | None = None, *, one: bool = False) -> Iterator[_Log]:
    """One transaction that holds the catalog's lock, and the log it will leave behind; with `one`,
    of a single ad, whose row is written `with_row` and by nothing else.

    CatalogBusyError when the lock is not to be had within `LOCK_WAIT_MS`; UncertainError when
    PostgreSQL went away at the commit and did not come back to say how it ended.
    """
    log = None
    try:
        with _stalls_told(), transacting(few=one) as within:
            log = _Log(within, actor, ad_id)
            yield log
            log.write()
    except OperationalError as error:
        # Inside an outer transaction nothing was committed yet.
        if log is None or not log.committing or connection.in_atomic_block:
            raise
        if not was_committed(log.xid, log.last_entry):
            # Without its cause, which may be that the commit was not answered: now it is.
            raise OperationalError(*error.args) from None
        publish_version(log.version)


@contextmanager
def _stalls_told() -> Iterator[None]:
    """PostgreSQL calls it an error of its own when it ends a transaction that stood still, and
    closes its connection. For who asked it is no other than that PostgreSQL went away.
    """
    try:
        yield
    except InternalError as error:
        if isinstance(error.__cause__, IdleInTransactionSessionTimeout):
            raise OperationalError(*error.args) from error.__cause__
        raise


def _open(within: Transaction, ad_id: UUID | None) -> Opened:
    try:
        return open_catalog(
            within, ad_id, lock=CATALOG_LOCK, wait_ms=LOCK_WAIT_MS, stall_ms=STALL_MS
        )
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise CatalogBusyError from error
        raise


def _new_ad(fields: AdFields, log: _Log) -> StoredAd:
    version = log.next_version()
    record = AdRecord(id=new_ad_id(), version=version, created_at=log.at, **asdict(fields))
    log.add(Operation.CREATE, record)
    return StoredAd(record, log.at)


def _refilled(record: AdRecord, fields: AdFields, log: _Log) -> StoredAd:
    """The ad with other fields. A closed one opens again; if its end has passed, the next expiry
    closes it.
    """
    changed = replace(record, version=log.next_version(), **asdict(fields))
    log.add(Operation.UPDATE, changed)
    return StoredAd(changed, log.at)


def ad_create(*, fields: AdFields, actor: Actor) -> StoredAd:
    """Create an ad; `version` of the result is the catalog version that has it."""
    with _writing(actor, one=True) as log:
        ad = _new_ad(fields, log)
        log.with_row(putting(ad))
    return ad


def ad_replace(*, ad_id: UUID, fields: AdFields, actor: Actor) -> StoredAd:
    """Give an ad new fields. AdNotFoundError when there is none."""
    return ad_change(ad_id=ad_id, change=lambda _: fields, actor=actor)


def ad_change(*, ad_id: UUID, change: Callable[[AdFields], AdFields], actor: Actor) -> StoredAd:
    """Change an ad by a function of its fields as they are under the lock, so that two people
    who change different fields at once both get their way. AdNotFoundError when there is none;
    what `change` raises is raised, and nothing is written.
    """
    with _writing(actor, ad_id, one=True) as log:
        current = log.ad
        before = fields_of(current)
        after = change(before)
        ad = _refilled(current, after, log)
        text_only = replace(before, title=after.title, content=after.content) == after
        log.with_row(rewording(ad) if text_only else rewriting(ad))
    return ad


def ad_delete(*, ad_id: UUID, actor: Actor) -> int:
    """Delete an ad; gives the catalog version without it. AdNotFoundError when there is none."""
    with _writing(actor, ad_id, one=True) as log:
        log.need_ad()
        log.with_row(dropping(ad_id))
        log.add_delete(ad_id)
    return log.version


def ads_delete(*, ad_ids: Sequence[UUID], actor: Actor) -> int:
    """Delete those of the ads that exist, all in one transaction; gives how many."""
    with _writing(actor) as log:
        found = list(Ad.objects.filter(pk__in=ad_ids).order_by("pk").values_list("pk", flat=True))
        Ad.objects.filter(pk__in=found).delete()
        for ad_id in found:
            log.add_delete(ad_id)
    return len(found)


def ads_import(*, rows: Sequence[AdFields], actor: Actor) -> list[StoredAd]:
    """Create many ads, all or none. TooManyRowsError beyond `IMPORT_ROWS_MAX`."""
    if len(rows) > IMPORT_ROWS_MAX:
        raise TooManyRowsError(f"rows: at most {IMPORT_ROWS_MAX} at once, not {len(rows)}")
    with _writing(actor) as log:
        ads = [_new_ad(fields, log) for fields in rows]
        put_ads(ads)
    return ads


def ads_import_all(
    *,
    rows: Iterable[AdFields],
    actor: Actor,
    progress: Callable[[int], object] = lambda _: None,
) -> int:
    """Create any number of ads, all or none; gives how many. For files too large for one request.

    One transaction over chunks of `IMPORT_ROWS_MAX`, so `rows` may be a generator and what it
    raises leaves nothing behind. Other writes wait until the end; reads wait for nothing.
    `progress` is told after each chunk how many ads there are so far.
    """
    created = 0
    remaining = iter(rows)
    with transaction.atomic():
        while chunk := list(islice(remaining, IMPORT_ROWS_MAX)):
            created += len(ads_import(rows=chunk, actor=actor))
            progress(created)
    return created


def _change_many(
    ad_ids: Sequence[UUID], actor: Actor, change: Callable[[AdFields, datetime], AdFields | None]
) -> int:
    changed = []
    with _writing(actor) as log:
        for ad in Ad.objects.filter(pk__in=ad_ids).order_by("end_at", "id"):
            record = record_of(ad)
            fields = change(fields_of(record), log.at)
            if fields is not None:
                changed.append(_refilled(record, fields, log))
        rewrite_ads(changed)
    return len(changed)


def ads_end_now(*, ad_ids: Sequence[UUID], actor: Actor) -> int:
    """End the live and scheduled ones among the ads now; gives how many that were.

    An ad that has not started yet gets the shortest flight there is, one microsecond before now.
    """

    def end(fields: AdFields, now: datetime) -> AdFields | None:
        if fields.end_at <= now:
            return None
        start_at = min(fields.start_at, now - timedelta(microseconds=1))
        return replace(fields, start_at=start_at, end_at=now)

    return _change_many(ad_ids, actor, end)


def ads_extend(*, ad_ids: Sequence[UUID], by: timedelta, actor: Actor) -> int:
    """Move the end of the ads; an ended one runs from now for `by`. Gives how many.

    InvalidAdError for a `by` that is not positive, or beyond the last year there is.
    """
    if by <= timedelta():
        raise InvalidAdError({"by": "must be more than nothing"})

    def extend(fields: AdFields, now: datetime) -> AdFields:
        try:
            return replace(fields, end_at=max(fields.end_at, now) + by)
        except OverflowError:
            raise InvalidAdError({"by": "reaches beyond the year 9999"}) from None

    return _change_many(ad_ids, actor, extend)


def ads_duplicate(*, ad_ids: Sequence[UUID], actor: Actor) -> list[StoredAd]:
    """Copies of the ads with "(copy)" behind the title, in one transaction."""
    with _writing(actor) as log:
        sources = Ad.objects.filter(pk__in=ad_ids).order_by("end_at", "id")
        copies = [_new_ad(_copied(fields_of(record_of(ad))), log) for ad in sources]
        put_ads(copies)
    return copies


def _copied(fields: AdFields) -> AdFields:
    suffix = " (copy)"
    return replace(fields, title=fields.title[: TITLE_CHARACTERS[1] - len(suffix)] + suffix)


def ads_close_ended(*, actor: Actor, now: datetime | None = None) -> int:
    """Close up to `CLOSE_BATCH` open ads whose end has passed; gives how many.

    Changes nothing of what is served, which goes by the clock: it takes the ads out of the
    replicas' memory and of every later snapshot, and leaves the end in the history.
    """
    moment = now or timezone.now()
    # Looked for without the lock: most runs find nothing and should stand in nobody's way.
    if not Ad.objects.filter(closed_at__isnull=True, end_at__lte=moment).exists():
        return 0
    with _writing(actor) as log:
        ended = Ad.objects.filter(closed_at__isnull=True, end_at__lte=moment)
        closed = []
        for ad in ended.order_by("end_at", "id")[:CLOSE_BATCH]:
            record = replace(record_of(ad), version=log.next_version())
            log.add(Operation.CLOSE, record)
            closed.append(StoredAd(record, log.at, closed_at=log.at))
        rewrite_ads(closed)
    return len(closed)


def changelog_trim(*, before: datetime) -> int:
    """Delete log entries older than `before`; gives how many.

    Kept whatever their age: the newest entry of every ad (its last state, and who made it so),
    and so the newest of all, from which the next version is counted. A replica that stood still
    for longer than what is kept reads a new snapshot.
    """
    deleted, _ = trimmable_changes(before).delete()
    return deleted
