"""Rule: after every write service, index + replayed changes = freshly warmed index."""

import inspect
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
import time_machine
from django.db import transaction

from adserver import services
from adserver.models import Ad, AdChange
from adserver.records import Actor, StoredAd
from adserver.replica import Replica
from tests.adserver.support import (
    ACTOR,
    HOUR,
    NOON,
    assert_equivalent,
    epoch_ns,
    fields,
    following,
)

pytestmark = pytest.mark.django_db(transaction=True)

Write = Callable[[list[StoredAd]], object]
_ENDED = fields(start_at=NOON - 2 * HOUR, end_at=NOON)
_START = [
    fields(title="Live for everybody"),
    fields(title="Live for some", country=("TW", "JP"), gender=("F",), age_start=18, age_end=25),
    fields(title="Scheduled", start_at=NOON + HOUR, end_at=NOON + 2 * HOUR, platform=("ios",)),
    _ENDED,
]
CASES: dict[str, Write] = {
    "ad_create": lambda _: services.ad_create(fields=fields(age_start=18), actor=ACTOR),
    "ad_replace": lambda ads: services.ad_replace(
        ad_id=ads[0].id, fields=fields(title="Replaced", gender=("M",)), actor=ACTOR
    ),
    "ad_change": lambda ads: services.ad_change(
        ad_id=ads[2].id, change=lambda old: fields(title=old.title, country=("US",)), actor=ACTOR
    ),
    "ad_delete": lambda ads: services.ad_delete(ad_id=ads[1].id, actor=ACTOR),
    "ads_delete": lambda ads: services.ads_delete(
        ad_ids=[ads[0].id, uuid4(), ads[2].id], actor=ACTOR
    ),
    "ads_import": lambda _: services.ads_import(
        rows=[fields(title=f"Imported {n}") for n in range(30)], actor=ACTOR
    ),
    "ads_import_all": lambda _: services.ads_import_all(
        rows=(fields(title=f"Imported {n}") for n in range(30)), actor=ACTOR
    ),
    "ads_end_now": lambda ads: services.ads_end_now(ad_ids=[ad.id for ad in ads], actor=ACTOR),
    "ads_extend": lambda ads: services.ads_extend(
        ad_ids=[ad.id for ad in ads], by=timedelta(days=1), actor=ACTOR
    ),
    "ads_duplicate": lambda ads: services.ads_duplicate(ad_ids=[ad.id for ad in ads], actor=ACTOR),
    "ads_close_ended": lambda _: services.ads_close_ended(actor=ACTOR),
}


def test_every_write_service_is_here() -> None:
    writes = {
        name
        for name, function in inspect.getmembers(services, inspect.isfunction)
        if not name.startswith("_") and "actor" in inspect.signature(function).parameters
    }
    assert writes == set(CASES)


class Clock:
    """The time of the services and of the indexes at once."""

    def __init__(self, traveller: time_machine.Traveller) -> None:
        self._traveller = traveller
        self.now = NOON

    def move_to(self, moment: datetime) -> None:
        self.now = moment
        self._traveller.move_to(moment)

    def __call__(self) -> int:
        return epoch_ns(self.now)


@pytest.fixture
def clock() -> Iterator[Clock]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield Clock(traveller)


@pytest.fixture
def replica(clock: Clock) -> Iterator[Replica]:
    with following(clock) as warm:
        yield warm


@pytest.mark.parametrize("name", CASES)
def test_replayed_changes_equal_a_fresh_index(name: str, clock: Clock, replica: Replica) -> None:
    ads = services.ads_import(rows=_START, actor=ACTOR)
    replica.catch_up()
    before = replica.index.state()
    CASES[name](ads)
    replica.catch_up()
    assert replica.index.state() != before
    assert (replica.snapshots, replica.gaps) == (1, 0)
    for hours in (0, 0.5, 1, 2, 50):
        clock.move_to(NOON + hours * HOUR)
        assert_equivalent(replica.index, clock)
    # And once more through the service that follows every other one by itself.
    services.ads_close_ended(actor=ACTOR)
    replica.catch_up()
    assert_equivalent(replica.index, clock)
    assert replica.index.state()[2] == 0


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("clock")
def test_every_write_leaves_a_gapless_log_with_its_actor(name: str) -> None:
    ads = services.ads_import(rows=_START, actor=Actor("first"))
    CASES[name](ads)
    changes = list(AdChange.objects.all())
    assert [change.version for change in changes] == list(range(1, len(changes) + 1))
    assert len(changes) > len(_START)
    assert {change.actor_label for change in changes[len(_START) :]} == {"tester"}
    assert all(change.created_at == NOON for change in changes)
    newest = {change.ad_id: change for change in changes}
    for ad in Ad.objects.all():
        assert ad.version == newest.pop(ad.id).version
    assert {change.operation for change in newest.values()} <= {"delete"}


@pytest.mark.parametrize("name", CASES)
def test_a_write_that_is_rolled_back_leaves_nothing(
    name: str, clock: Clock, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    hints: list[int] = []
    monkeypatch.setattr(services, "publish_version", hints.append)
    ads = services.ads_import(rows=_START, actor=ACTOR)
    replica.catch_up()
    before, hinted = replica.index.state(), list(hints)
    assert hinted == [len(_START)]
    with transaction.atomic():
        CASES[name](ads)
        assert AdChange.objects.count() > len(_START)
        transaction.set_rollback(True)
    replica.catch_up()
    assert replica.index.state() == before
    assert hints == hinted
    assert_equivalent(replica.index, clock)


def test_a_trimmed_log_gives_a_late_replica_a_new_snapshot(clock: Clock, replica: Replica) -> None:
    with following(clock) as late:
        ad = services.ad_create(fields=fields(), actor=ACTOR)
        for number in range(5):
            services.ad_replace(ad_id=ad.id, fields=fields(title=f"Title {number}"), actor=ACTOR)
        replica.catch_up()
        assert services.changelog_trim(before=NOON + HOUR) == 5
        for one, gaps in ((late, 1), (replica, 0)):
            one.catch_up()
            assert one.gaps == gaps
            assert_equivalent(one.index, clock)
        services.ad_delete(ad_id=ad.id, actor=ACTOR)
        for one in (late, replica):
            one.catch_up()
            assert_equivalent(one.index, clock)
