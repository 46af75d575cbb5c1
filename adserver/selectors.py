"""Reads of the ads' tables: for the replica in plain SQL, for people through Django."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from adserver.models import Ad, AdChange
from adserver.records import FIELDS, AdRecord, parse_record
from runtime.errors import DomainError

SNAPSHOT_ROWS = 5_000
CHANGES_ROWS = 1_000

_SNAPSHOT_SQL = """
    SELECT id, title, content, start_at, end_at, age_start, age_end, gender, country, platform,
           version, created_at
      FROM adserver_ad WHERE closed_at IS NULL
"""
_MARK_SQL = """
    SELECT version, ad_id, created_at FROM adserver_adchange ORDER BY version DESC LIMIT 1
"""
_CHANGES_SQL = """
    SELECT version, ad_id, created_at, operation, ad::text FROM adserver_adchange
     WHERE version >= %s ORDER BY version LIMIT %s
"""


class Mark(NamedTuple):
    """Which entry of which log: two histories that share a version differ in ad or time."""

    version: int
    ad_id: UUID | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One log entry for a replica."""

    mark: Mark
    json: str | None

    @property
    def version(self) -> int:
        """The catalog's version with this change."""
        return self.mark.version

    @property
    def ad_id(self) -> UUID:
        """Whose change it is."""
        assert self.mark.ad_id is not None
        return self.mark.ad_id

    @property
    def record(self) -> AdRecord | None:
        """The ad from now on; None takes it out. msgspec.ValidationError if it is no ad.

        Read only when it is applied: a replica may stand at an entry that nobody can read.
        """
        return None if self.json is None else parse_record(self.json)


def latest_mark(connection: psycopg.Connection[Any]) -> Mark:
    """The last entry of the log; version 0 when it is empty."""
    row = connection.execute(_MARK_SQL).fetchone()
    return Mark(0) if row is None else Mark(*row)


def snapshot(connection: psycopg.Connection[Any]) -> Iterator[AdRecord]:
    """All open ads. To be read inside the transaction that read the version.

    Streams `SNAPSHOT_ROWS` rows at a time, so that a million ads never stand in memory twice.
    """
    with connection.cursor(name="catalog_snapshot", binary=True) as cursor:
        cursor.itersize = SNAPSHOT_ROWS
        cursor.execute(_SNAPSHOT_SQL)
        for row in cursor:
            yield AdRecord(*row[:7], *map(tuple, row[7:10]), *row[10:])


def changes_from(connection: psycopg.Connection[Any], version: int) -> list[Change]:
    """Up to `CHANGES_ROWS` log entries, in order, from the one of `version` itself on."""
    rows = connection.execute(_CHANGES_SQL, (version, CHANGES_ROWS)).fetchall()
    return [
        Change(Mark(*mark), ad if operation in ("create", "update") else None)
        for *mark, operation, ad in rows
    ]


class TrimmedLogError(DomainError):
    """The log no longer reaches back to the first change."""


def replayed_log(connection: psycopg.Connection[Any]) -> Iterator[Change]:
    """Every change there ever was, in order. TrimmedLogError when one is missing."""
    version = 0
    while changes := changes_from(connection, version + 1):
        for change in changes:
            version += 1
            if change.version != version:
                raise TrimmedLogError(f"the log has been trimmed: version {version} is missing")
            yield change


def trimmable_changes(before: datetime) -> QuerySet[AdChange]:
    """The log entries older than `before` that are not the newest one of their ad."""
    newer = AdChange.objects.filter(ad_id=OuterRef("ad_id"), version__gt=OuterRef("version"))
    return AdChange.objects.filter(Exists(newer), created_at__lt=before)


def ads_in_state(ads: QuerySet[Ad], state: str) -> QuerySet[Ad]:
    """The ads that are `scheduled`, `live` or `ended` now."""
    now = timezone.now()
    if state == "scheduled":
        return ads.filter(start_at__gt=now)
    if state == "live":
        return ads.filter(start_at__lte=now, end_at__gt=now)
    return ads.filter(end_at__lte=now)


def ads_matching(
    *,
    state: str | None = None,
    country: str | None = None,
    gender: str | None = None,
    platform: str | None = None,
    text: str | None = None,
    ads: QuerySet[Ad] | None = None,
) -> QuerySet[Ad]:
    """The ads an operator asks for, among `ads` when given. A condition finds the ads that
    accept that value.
    """
    ads = Ad.objects.all() if ads is None else ads
    if state:
        ads = ads_in_state(ads, state)
    for name, value in (("country", country), ("gender", gender), ("platform", platform)):
        if value:
            ads = ads.filter(Q(**{f"{name}__contains": [value]}) | Q(**{f"{name}__len": 0}))
    if text:
        ads = ads.filter(Q(title__icontains=text) | Q(content__icontains=text))
    return ads


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """Who did what to an ad, when; `changed` maps a field to its value before and after."""

    version: int
    operation: str
    actor: str
    at: Any
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    changed: dict[str, tuple[Any, Any]]


def ad_history(
    ad_id: UUID, start: int = 0, stop: int | None = None, *, since: int = 0
) -> list[HistoryEntry]:
    """The ad's logged changes, the newest first, from number `start` to before number `stop`, none
    older than version `since`. Only these are read: some ads are changed by machines, all day.
    """
    log = AdChange.objects.filter(ad_id=ad_id, version__gte=since).order_by("-version")
    # One more, since what an ad was before is what the change before made of it.
    changes = list(log[start : None if stop is None else stop + 1])
    befores = [*(change.ad for change in changes[1:]), None]
    entries = [_entry(change, before) for change, before in zip(changes, befores, strict=True)]
    return entries if stop is None else entries[: stop - start]


def ad_history_count(ad_id: UUID) -> int:
    """How many changes of the ad are logged; 0 for an ad that never was."""
    return AdChange.objects.filter(ad_id=ad_id).count()


def _entry(change: AdChange, before: dict[str, Any] | None) -> HistoryEntry:
    old, new = before or {}, change.ad or {}
    return HistoryEntry(
        version=change.version,
        operation=change.operation,
        actor=change.actor_label,
        at=change.created_at,
        before=_in_order(before),
        after=_in_order(change.ad),
        changed={
            name: (old.get(name), new.get(name))
            for name in FIELDS
            if old.get(name) != new.get(name)
        },
    )


def _in_order(ad: dict[str, Any] | None) -> dict[str, Any] | None:
    """As ads are served: PostgreSQL keeps the names by their length."""
    return ad and {name: ad[name] for name in AdRecord.__struct_fields__ if name in ad}


def catalog_is_new() -> bool:
    """Whether nothing was ever written to the catalog."""
    return not AdChange.objects.exists()


def ad_by_id(ad_id: UUID) -> Ad | None:
    """The ad, if there is one."""
    return Ad.objects.filter(pk=ad_id).first()


def catalog_version() -> int:
    """The last version of the log, 0 when it is empty."""
    newest = AdChange.objects.order_by("-version").values_list("version", flat=True).first()
    return newest or 0
