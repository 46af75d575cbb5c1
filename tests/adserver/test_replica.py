"""The replica's thread on a real PostgreSQL, and what it does when something goes wrong."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection as django_connection

from adserver import replica as replica_module
from adserver import services
from adserver.hints import CHANNEL
from adserver.index import CatalogIndex
from adserver.models import Ad, AdChange
from adserver.records import StoredAd
from adserver.replica import Hints, Replica
from adserver.selectors import Mark, latest_mark
from runtime.pubsub import Subscriber
from tests.adserver.support import (
    ACTOR,
    NOON,
    NoHints,
    assert_equivalent,
    connect,
    epoch_ns,
    fields,
    following,
)
from tests.support.stack import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

# Longer than any test: whoever is in time was told.
NEVER_S = 600.0


def clock() -> int:
    return epoch_ns(NOON)


class Pacing(NoHints):
    """Hints that never come, at a quick pace; stops when the test does."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def wait(self, timeout_s: float) -> bool:
        return self._stopped.wait(timeout_s)

    def stop(self) -> None:
        self._stopped.set()


Started = Callable[..., Replica]


@pytest.fixture
def started() -> Iterator[Started]:
    """Starts replicas, and stops them at the end."""
    replicas: list[Replica] = []

    def start(
        *,
        hints: Hints | None = None,
        poll_s: float = 0.01,
        connect: Callable[[], psycopg.Connection[Any]] = connect,
    ) -> Replica:
        one = Replica(
            index=CatalogIndex(clock), connect=connect, hints=hints or Pacing(), poll_s=poll_s
        )
        replicas.append(one)
        one.start()
        return one

    yield start
    for one in replicas:
        one.stop()
        assert not one._thread.is_alive()


def wait_version(replica: Replica, version: int) -> None:
    wait_until(lambda: replica.index.version == version, timeout_s=60, what=f"version {version}")
    assert_equivalent(replica.index, clock)


def test_it_follows_without_any_hint(started: Started) -> None:
    services.ad_create(fields=fields(), actor=ACTOR)
    replica = started()
    assert replica.warm.wait(60)
    for number in range(3):
        ad = services.ad_create(fields=fields(title=f"Number {number}"), actor=ACTOR)
        wait_version(replica, ad.version)
    assert (replica.snapshots, replica.gaps, replica.failures) == (1, 0, 0)


def test_a_hint_brings_it_long_before_the_timer(started: Started) -> None:
    hints = Subscriber(settings.REDIS_URL, CHANNEL)
    replica = started(hints=hints, poll_s=NEVER_S)
    wait_until(lambda: hints.connected, timeout_s=60, what="subscribed")
    for number in range(3):
        ad = services.ad_create(fields=fields(title=f"Number {number}"), actor=ACTOR)
        wait_version(replica, ad.version)
    # It waits for a hint that may never come: one more lets it see that it should stop.
    replica._stopping.set()
    services.ad_create(fields=fields(), actor=ACTOR)


def test_a_write_between_version_and_rows_is_in_neither(started: Started, monkeypatch) -> None:
    written: list[StoredAd] = []

    def then_write(connection: psycopg.Connection[Any]) -> Mark:
        mark = latest_mark(connection)
        if not written:
            written.append(services.ad_create(fields=fields(title="Squeezed in"), actor=ACTOR))
        return mark

    services.ad_create(fields=fields(), actor=ACTOR)
    monkeypatch.setattr(replica_module, "latest_mark", then_write)
    index = CatalogIndex(clock)
    with connect() as own:
        assert replica_module.load_snapshot(own, index).version == 1
        assert index.state()[2] == 1
        assert own.isolation_level is None
    with following(clock) as replica:
        assert replica.index.version == written[0].version == 2
        assert_equivalent(replica.index, clock)


def test_a_database_that_is_away_at_first(started: Started) -> None:
    refusals = 3

    def connect_later() -> psycopg.Connection[Any]:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise psycopg.OperationalError("the server is starting up")
        return connect()

    ad = services.ad_create(fields=fields(), actor=ACTOR)
    replica = started(connect=connect_later)
    assert replica.warm.wait(60)
    wait_version(replica, ad.version)
    assert replica.failures == 3


def test_a_connection_that_is_cut(started: Started) -> None:
    replica = started()
    assert replica.warm.wait(60)
    for number in range(3):
        assert replica._connection is not None
        pid = replica._connection.info.backend_pid
        with django_connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        ad = services.ad_create(fields=fields(title=f"Number {number}"), actor=ACTOR)
        wait_version(replica, ad.version)
    assert replica.failures >= 1
    # What was loaded stayed: only the connection was lost.
    assert replica.snapshots == 1


def test_an_entry_that_cannot_be_read(started: Started) -> None:
    replica = started()
    assert replica.warm.wait(60)
    services.ad_create(fields=fields(), actor=ACTOR)
    wait_version(replica, 1)
    AdChange.objects.create(
        version=2,
        operation="update",
        ad_id=Ad.objects.get().id,
        ad={"not": "an ad"},
        actor_label="somebody with a database shell",
        created_at=NOON,
    )
    wait_version(replica, 2)
    assert replica.snapshots == 2
    ad = services.ad_create(fields=fields(), actor=ACTOR)
    wait_version(replica, ad.version)


def test_a_database_that_went_back_in_time(started: Started) -> None:
    ads = services.ads_import(rows=[fields(title=f"Number {n}") for n in range(5)], actor=ACTOR)
    replica = started()
    wait_version(replica, 5)
    lost = [ad.id for ad in ads[2:]]
    Ad.objects.filter(pk__in=lost).delete()
    AdChange.objects.filter(ad_id__in=lost).delete()
    wait_version(replica, 2)
    assert replica.gaps == 1


def test_a_database_that_went_back_and_has_passed_the_old_version_since() -> None:
    """A standby that lacks the last commits takes over, and is written to before anybody looks."""
    services.ads_import(rows=[fields(title=f"Number {n}") for n in range(5)], actor=ACTOR)
    with following(clock) as replica:
        lost = [ad.id for ad in Ad.objects.filter(version__gt=2)]
        Ad.objects.filter(pk__in=lost).delete()
        AdChange.objects.filter(ad_id__in=lost).delete()
        for written in (3, 4):
            rows = [fields(title=f"Instead {n}") for n in range(written)]
            services.ads_import(rows=rows, actor=ACTOR)
        assert replica.index.version == 5
        replica.catch_up()
        assert replica.index.version == 9
        assert replica.gaps == 1
        assert_equivalent(replica.index, clock)


def test_many_changes_at_once_are_applied_chunk_by_chunk(started: Started, monkeypatch) -> None:
    for module in ("adserver.selectors", "adserver.replica"):
        monkeypatch.setattr(f"{module}.CHANGES_ROWS", 4)
    replica = started()
    assert replica.warm.wait(60)
    for size in (3, 4, 5, 17):
        rows = [fields(title=f"Number {n}") for n in range(size)]
        ads = services.ads_import(rows=rows, actor=ACTOR)
        wait_version(replica, ads[-1].version)
    assert (replica.snapshots, replica.gaps) == (1, 0)


def test_versions_are_in_the_order_of_the_commits_under_concurrent_writers(
    started: Started,
) -> None:
    """A replica that looks all the time never sees a version appear behind its cursor."""
    replica = started(poll_s=0.001)
    assert replica.warm.wait(60)
    errors: list[Exception] = []

    def write(writer: int) -> None:
        try:
            for number in range(15):
                ad = services.ad_create(fields=fields(title=f"{writer} {number}"), actor=ACTOR)
                if number % 3 == 0:
                    services.ad_change(ad_id=ad.id, change=lambda old: old, actor=ACTOR)
        except Exception as error:  # noqa: BLE001 - told to the main thread
            errors.append(error)
        finally:
            django_connection.close()

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    versions = list(AdChange.objects.order_by("created_at", "version").values_list("version"))
    assert versions == [(version,) for version in range(1, 81)]
    wait_version(replica, 80)
    assert (replica.snapshots, replica.gaps, replica.failures) == (1, 0, 0)


def test_lag_counts_from_the_last_look_that_succeeded() -> None:
    with following(clock) as replica:
        replica._looked_at_s -= 5
        kept, replica._connection = replica._connection, None
        replica._connect = refuse
        with pytest.raises(psycopg.OperationalError):
            replica.catch_up()
        assert replica.lag_s >= 5
        replica._connection = kept
        replica.catch_up()
        assert replica.lag_s < 5


def refuse() -> psycopg.Connection[Any]:
    raise psycopg.OperationalError("connection refused")
