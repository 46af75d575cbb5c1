"""At a thousand random ads: an index that followed every write, a fresh one, and a plain filter."""

from datetime import timedelta
from random import Random

import pytest
import time_machine
from msgspec.structs import replace

from adserver import services
from adserver.models import Ad, record_of
from adserver.records import AdFields, AdRecord
from adserver.samples import random_ads
from tests.adserver.support import ACTOR, NOON, epoch_ns, following, fresh_index
from tests.index.reference import Visitor, code_of, expected

ADS = 1_000
ROUNDS = 8
QUERIES = 30
US = timedelta(microseconds=1)


def some_visitor(random: Random) -> Visitor:
    every = {
        "age": random.randint(1, 255),
        "country": random.choice(("TW", "JP", "US", "HK", "KR", "DE", "FR")),
        "gender": random.choice("FM"),
        "platform": random.choice(("android", "ios", "web")),
    }
    return {name: value for name, value in every.items() if random.random() < 0.6}


def some_fields(count: int, seed: int) -> list[AdFields]:
    """Random ads, every third of which starts later today."""
    ads = list(random_ads(count=count, now=NOON, seed=seed))
    for number in range(0, count, 3):
        later = NOON + timedelta(seconds=number * 37 % 80_000)
        ads[number] = replace(ads[number], start_at=later)
    return ads


def write_some(random: Random, ads: list[AdRecord]) -> None:
    """One write of every kind, on random ads."""
    fields = some_fields(20, random.randrange(1_000_000))
    ids = [ad.id for ad in random.sample(ads, 40)]
    services.ads_import(rows=fields[:10], actor=ACTOR)
    services.ad_create(fields=fields[10], actor=ACTOR)
    services.ad_replace(ad_id=ids[0], fields=fields[11], actor=ACTOR)
    services.ads_extend(ad_ids=ids[1:9], by=timedelta(days=random.randint(1, 400)), actor=ACTOR)
    services.ads_end_now(ad_ids=ids[9:12], actor=ACTOR)
    services.ads_duplicate(ad_ids=ids[12:18], actor=ACTOR)
    services.ads_delete(ad_ids=ids[18:24], actor=ACTOR)
    services.ad_delete(ad_id=ids[24], actor=ACTOR)
    services.ads_close_ended(actor=ACTOR)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_thousand_ads_under_writes_and_time(seed: int) -> None:
    random = Random(seed)
    now = NOON

    def clock() -> int:
        return epoch_ns(now)

    with time_machine.travel(now, tick=False) as traveller, following(clock) as replica:
        services.ads_import(rows=some_fields(ADS, seed), actor=ACTOR)
        for _ in range(ROUNDS):
            ads = [record_of(ad) for ad in Ad.objects.all()]
            write_some(random, ads)
            ads = [record_of(ad) for ad in Ad.objects.all()]
            replica.catch_up()
            # To the very microsecond in which an ad starts or ends, or the one before or after.
            borders = [moment for ad in ads for moment in (ad.start_at, ad.end_at) if moment >= now]
            now = max(now, random.choice(sorted(borders)[:100]) + random.choice((-US, US, 0 * US)))
            traveller.move_to(now)
            fresh = fresh_index(clock)
            assert replica.index.state() == fresh.state()
            for _ in range(QUERIES):
                visitor = some_visitor(random)
                offset, limit = random.choice((0, 1, 7, 90, 400)), random.choice((1, 10, 100))
                wanted = expected(ads, now_ns=clock(), visitor=visitor, offset=offset, limit=limit)
                for index in (replica.index, fresh):
                    _, total, page = index.query(code_of(visitor), offset, limit)
                    assert (total, page) == wanted
        assert (replica.snapshots, replica.gaps) == (1, 0)
