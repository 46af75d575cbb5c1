"""What each write service promises beyond its entry in the log."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import chain
from uuid import uuid4

import pytest
import time_machine
from django.db import OperationalError, connection, connections
from msgspec.structs import replace

from adserver import services
from adserver.models import Ad, AdChange, model_of, record_of, stored_of
from adserver.records import AdFields, InvalidAdError, StoredAd, fields_of, render
from adserver.selectors import ad_history
from adserver.services import AdNotFoundError, TooManyRowsError
from adserver.storing import put_ads
from tests.adserver.support import ACTOR, HOUR, NOON, connect, fields
from tests.support.stack import wait_until

US = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def _noon():
    with time_machine.travel(NOON, tick=False):
        yield


def stored(ad: StoredAd) -> AdFields:
    return fields_of(record_of(Ad.objects.get(pk=ad.id)))


@pytest.mark.django_db
@pytest.mark.parametrize(
    "write",
    [
        lambda: services.ad_replace(ad_id=uuid4(), fields=fields(), actor=ACTOR),
        lambda: services.ad_change(ad_id=uuid4(), change=lambda old: old, actor=ACTOR),
        lambda: services.ad_delete(ad_id=uuid4(), actor=ACTOR),
    ],
)
def test_an_ad_that_is_not_there(write) -> None:
    with pytest.raises(AdNotFoundError, match="id: there is no ad"):
        write()
    assert not AdChange.objects.exists()


ODD = [
    fields(
        title="\"\\/'<&>\u2028 \U0001f375", content="\x01\t\r\n\x7f\u0085\ufeff%s $1 {} \\u0000"
    ),
    fields(content="\U0010ffff" * 2_000, country=("TW", "JP"), gender=("F", "M")),
    fields(start_at=datetime.min.replace(tzinfo=UTC), end_at=datetime.max.replace(tzinfo=UTC)),
    fields(start_at=NOON - 10 * US, end_at=NOON + US, age_start=100, platform=("web",)),
]


@pytest.mark.django_db
@pytest.mark.parametrize("odd", ODD)
def test_what_the_services_give_is_what_stands_in_the_table(odd: AdFields) -> None:
    def assert_stored(ad: StoredAd) -> None:
        found = Ad.objects.get(pk=ad.id)
        assert stored_of(found) == ad
        assert {**vars(model_of(ad)), "_state": None} == {**vars(found), "_state": None}

    seen: list[AdFields] = []

    def change_to(wanted: AdFields) -> StoredAd:
        def change(current: AdFields) -> AdFields:
            seen.append(current)
            return wanted

        return services.ad_change(ad_id=created.id, change=change, actor=ACTOR)

    created = services.ad_create(fields=odd, actor=ACTOR)
    assert_stored(created)
    steps = [
        odd,
        replace(odd, content=odd.content[::-1]),
        replace(odd, age_end=100, country=("DE",)),
        odd,
    ]
    for later, step in enumerate(steps, start=1):
        with time_machine.travel(NOON + later * HOUR, tick=False):
            # Closed when its flight is over; a change opens it again.
            services.ads_close_ended(actor=ACTOR)
            ad = change_to(step)
        assert fields_of(ad.record) == step
        assert (ad.record.created_at, ad.updated_at) == (NOON, NOON + later * HOUR)
        assert ad.closed_at is None
        assert_stored(ad)
        assert AdChange.objects.get(version=ad.version).ad == json.loads(render(ad.record))
    # What a change begins with is what the one before left.
    assert seen == [odd, *steps[:-1]]
    assert_stored(services.ad_replace(ad_id=created.id, fields=fields(), actor=ACTOR))
    for ad in services.ads_import(rows=[odd, fields()], actor=ACTOR):
        assert_stored(ad)
    for ad in services.ads_duplicate(ad_ids=[created.id], actor=ACTOR):
        assert_stored(ad)


@pytest.mark.django_db
def test_a_change_that_raises_writes_nothing() -> None:
    ad = services.ad_create(fields=fields(), actor=ACTOR)

    def refuse(_: AdFields) -> AdFields:
        raise InvalidAdError({"title": "is not nice"})

    with pytest.raises(InvalidAdError):
        services.ad_change(ad_id=ad.id, change=refuse, actor=ACTOR)
    assert AdChange.objects.count() == 1
    assert stored(ad) == fields()


@pytest.mark.django_db
def test_an_import_has_a_limit(monkeypatch) -> None:
    monkeypatch.setattr(services, "IMPORT_ROWS_MAX", 2)
    assert len(services.ads_import(rows=[fields()] * 2, actor=ACTOR)) == 2
    with pytest.raises(TooManyRowsError, match="at most 2 at once, not 3"):
        services.ads_import(rows=[fields()] * 3, actor=ACTOR)
    assert services.ads_import_all(rows=[fields()] * 5, actor=ACTOR) == 5
    assert services.ads_import(rows=[], actor=ACTOR) == []
    assert Ad.objects.count() == AdChange.objects.count() == 7


@pytest.mark.django_db
def test_end_now_ends_what_is_not_over() -> None:
    live, scheduled, over = services.ads_import(
        rows=[
            fields(),
            fields(start_at=NOON + HOUR, end_at=NOON + 2 * HOUR),
            fields(start_at=NOON - HOUR, end_at=NOON),
        ],
        actor=ACTOR,
    )
    ids = [live.id, scheduled.id, over.id, uuid4()]
    assert services.ads_end_now(ad_ids=ids, actor=ACTOR) == 2
    assert stored(live) == fields(end_at=NOON)
    assert stored(scheduled) == fields(start_at=NOON - US, end_at=NOON)
    assert stored(over) == fields(start_at=NOON - HOUR, end_at=NOON)
    assert services.ads_end_now(ad_ids=ids, actor=ACTOR) == 0
    assert AdChange.objects.count() == 5


@pytest.mark.django_db
def test_extend_counts_from_the_end_or_from_now() -> None:
    live, over = services.ads_import(
        rows=[fields(), fields(end_at=NOON - US, start_at=NOON - HOUR)], actor=ACTOR
    )
    services.ads_close_ended(actor=ACTOR)
    assert services.ads_extend(ad_ids=[live.id, over.id], by=HOUR, actor=ACTOR) == 2
    assert stored(live).end_at == NOON + 2 * HOUR
    assert stored(over).end_at == NOON + HOUR
    assert Ad.objects.filter(closed_at__isnull=True).count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("by", "words"),
    [
        (timedelta(), "by: must be more than nothing"),
        (-US, "by: must be more than nothing"),
        (timedelta.max, "by: reaches beyond the year 9999"),
    ],
)
def test_extend_refuses_what_cannot_be(by: timedelta, words: str) -> None:
    ad = services.ad_create(fields=fields(), actor=ACTOR)
    with pytest.raises(InvalidAdError, match=words):
        services.ads_extend(ad_ids=[ad.id], by=by, actor=ACTOR)
    assert AdChange.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("title", "copied"), [("A title", "A title (copy)"), ("x" * 100, "x" * 93 + " (copy)")]
)
def test_a_duplicate_says_so_within_the_title_s_length(title: str, copied: str) -> None:
    ad = services.ad_create(fields=fields(title=title, country=("TW",)), actor=ACTOR)
    (copy,) = services.ads_duplicate(ad_ids=[ad.id], actor=ACTOR)
    assert copy.id != ad.id
    assert stored(copy) == replace(stored(ad), title=copied)


@pytest.mark.django_db
def test_closing_goes_batch_by_batch_in_the_order_of_the_ends(monkeypatch) -> None:
    monkeypatch.setattr(services, "CLOSE_BATCH", 2)
    rows = [fields(end_at=NOON - US * n) for n in range(3)] + [fields(end_at=NOON + US)]
    ads = services.ads_import(rows=rows, actor=ACTOR)
    assert [services.ads_close_ended(actor=ACTOR) for _ in range(3)] == [2, 1, 0]
    closings = AdChange.objects.filter(operation="close").values_list("ad_id", flat=True)
    assert list(closings) == [ads[2].id, ads[1].id, ads[0].id]
    assert set(Ad.objects.exclude(closed_at=None).values_list("closed_at", flat=True)) == {NOON}
    assert stored(ads[0]) == rows[0]


@pytest.mark.django_db
def test_the_history_tells_before_and_after() -> None:
    ad = services.ad_create(fields=fields(), actor=ACTOR)
    services.ad_replace(ad_id=ad.id, fields=fields(title="Another title"), actor=ACTOR)
    services.ad_delete(ad_id=ad.id, actor=ACTOR)
    deleted, changed, created = ad_history(ad.id)
    assert [entry.operation for entry in (deleted, changed, created)] == [
        "delete",
        "update",
        "create",
    ]
    assert changed.changed == {"title": ("A good title", "Another title")}
    assert (created.before, deleted.after) == (None, None)
    assert changed.before == created.after
    assert {entry.actor for entry in (deleted, changed, created)} == {"tester"}


@pytest.mark.django_db(transaction=True)
def test_two_who_change_different_fields_at_once_both_get_their_way() -> None:
    ad = services.ad_create(fields=fields(), actor=ACTOR)
    barrier = threading.Barrier(2)

    def change(name: str, value: object) -> None:
        barrier.wait(60)
        try:
            services.ad_change(
                ad_id=ad.id, change=lambda old: replace(old, **{name: value}), actor=ACTOR
            )
        finally:
            connection.close()

    for age in range(1, 6):
        title = f"Title number {age}"
        threads = [
            threading.Thread(target=change, args=arguments)
            for arguments in (("title", title), ("age_start", age))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (stored(ad).title, stored(ad).age_start) == (title, age)


@pytest.mark.django_db(transaction=True)
def test_a_write_gives_up_behind_one_that_takes_too_long(monkeypatch) -> None:
    monkeypatch.setattr(services, "LOCK_WAIT_MS", 50)
    with connect() as other, other.transaction():
        other.execute("SELECT pg_advisory_xact_lock(%s)", [services.CATALOG_LOCK])
        for _ in range(2):
            with pytest.raises(services.CatalogBusyError, match="another write takes long"):
                services.ad_create(fields=fields(), actor=ACTOR)
    assert not AdChange.objects.exists()
    assert services.ad_create(fields=fields(), actor=ACTOR).version == 1
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)


@pytest.mark.django_db(transaction=True)
def test_a_writer_that_stands_still_loses_the_lock(monkeypatch) -> None:
    ad = services.ad_create(fields=fields(), actor=ACTOR)
    monkeypatch.setattr(services, "STALL_MS", 200)
    begun, over = threading.Event(), threading.Event()

    def stand_still(now: AdFields) -> AdFields:
        begun.set()
        assert over.wait(30)
        return replace(now, title="Too late for this")

    def write() -> None:
        try:
            with pytest.raises(OperationalError):
                services.ad_change(ad_id=ad.id, change=stand_still, actor=ACTOR)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as threads:
        writer = threads.submit(write)
        try:
            assert begun.wait(30)
            assert services.ad_create(fields=fields(), actor=ACTOR).version == 2
        finally:
            over.set()
        writer.result()
    assert stored(ad).title == ad.record.title
    assert AdChange.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_an_import_that_stands_still_is_told_that_postgresql_went_away(monkeypatch) -> None:
    monkeypatch.setattr(services, "STALL_MS", 100)
    over = threading.Event()

    def ended(pid: int) -> bool:
        with connect() as other:
            found = other.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [pid])
            return found.fetchone() == (0,)

    def stand_still(ads) -> None:
        pid = connection.connection.info.backend_pid
        wait_until(lambda: ended(pid), timeout_s=30, what="PostgreSQL has ended the transaction")
        over.set()
        put_ads(ads)

    monkeypatch.setattr(services, "put_ads", stand_still)
    with pytest.raises(OperationalError):
        services.ads_import(rows=[fields()], actor=ACTOR)
    assert over.is_set()
    connection.close()
    assert not Ad.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_number_of_statements_does_not_grow_with_the_rows(django_assert_num_queries) -> None:
    services.ads_import(rows=[], actor=ACTOR)  # Prepares the statements.
    for size in (2, 50, 500):
        # BEGIN, lock and newest version, COPY of the ads, COPY of their entries, COMMIT.
        with django_assert_num_queries(5):
            ads = services.ads_import(rows=[fields()] * size, actor=ACTOR)
        # And the ads read, and deleted where they are copied anew.
        with django_assert_num_queries(7):
            services.ads_extend(ad_ids=[ad.id for ad in ads], by=HOUR, actor=ACTOR)


@pytest.mark.django_db(transaction=True)
def test_threads_of_one_process_write_side_by_side() -> None:
    """Each waits for the lock without keeping the one that has it from its COMMIT."""

    def writes(_: int) -> list[int]:
        try:
            return [services.ad_create(fields=fields(), actor=ACTOR).version for _ in range(5)]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as threads:
        versions = sorted(chain.from_iterable(threads.map(writes, range(4))))
    assert versions == list(range(1, 21))
