"""The index against a plain filter at sizes where it uses several blocks, and its own limits."""

from random import Random
from uuid import UUID

import pytest
from msgspec.structs import replace

from adserver import index as index_module
from adserver.blocks import Conditions, OrderedBlocks
from adserver.index import CatalogIndex
from adserver.records import AdRecord, epoch_us, render
from adserver.samples import random_ads
from tests.index.reference import Visitor, code_of, expected
from tests.index.strategies import EPOCH

NOW_NS = epoch_us(EPOCH) * 1000
YEAR_NS = 366 * 86_400 * 10**9


def catalog(count: int, seed: int = 1) -> list[AdRecord]:
    random = Random(seed)
    return [
        AdRecord(
            id=UUID(int=random.getrandbits(128)),
            version=number + 1,
            created_at=EPOCH,
            **{name: getattr(fields, name) for name in fields.__struct_fields__},
        )
        for number, fields in enumerate(random_ads(count=count, now=EPOCH, seed=seed))
    ]


def random_visitor(random: Random) -> dict[str, object]:
    visitor: dict[str, object] = {
        "age": random.randint(1, 110),
        "country": random.choice(("TW", "JP", "US", "FR")),
        "gender": random.choice("MF"),
        "platform": random.choice(("android", "ios", "web")),
    }
    return {name: value for name, value in visitor.items() if random.random() < 0.7}


@pytest.mark.parametrize("count", [1_000, 5_000])
def test_random_catalog_under_writes_and_time(count: int) -> None:
    random = Random(count)
    now_ns = NOW_NS
    ads = {ad.id.int: ad for ad in catalog(count)}
    spare = catalog(count, seed=2)
    index = CatalogIndex(clock=lambda: now_ns)
    index.load(ads.values(), version=0)
    for version in range(1, 301):
        ad_id = random.choice(list(ads)) if random.random() < 0.6 else spare.pop().id.int
        new = None if random.random() < 0.4 and ad_id in ads else random.choice(spare)
        record = None if new is None else AdRecord(UUID(int=ad_id), *_values(new)[1:])
        index.apply(version=version, ad_id=UUID(int=ad_id), record=record)
        ads.pop(ad_id, None)
        if record is not None:
            ads[ad_id] = record
        if version % 10 == 0:
            now_ns += random.randint(0, YEAR_NS // 60)
        visitor = random_visitor(random)
        offset, limit = random.choice((0, 3, 90, 150, 400)), random.choice((1, 10, 100))
        answer = index.query(code_of(visitor), offset, limit)
        wanted = expected(ads.values(), now_ns=now_ns, visitor=visitor, offset=offset, limit=limit)
        assert answer == (version, *wanted)


def _values(record: AdRecord) -> tuple:
    return tuple(getattr(record, name) for name in record.__struct_fields__)


def test_a_version_that_does_not_follow_is_refused() -> None:
    index = CatalogIndex(clock=lambda: NOW_NS)
    ad = catalog(1)[0]
    with pytest.raises(ValueError, match="does not follow"):
        index.apply(version=1, ad_id=ad.id, record=ad)
    index.load([ad], version=4)
    with pytest.raises(ValueError, match="version 6 does not follow 4"):
        index.apply(version=6, ad_id=ad.id, record=ad)
    assert index.state()[0] == 4


def test_nothing_is_answered_before_the_first_load() -> None:
    assert CatalogIndex(clock=lambda: NOW_NS).query(0, 0, 10) == (None, 0, [])


def test_a_clock_that_steps_back_a_little_keeps_order() -> None:
    """NTP steps are waited out: an ad that has ended does not come back for a moment."""
    now_ns = NOW_NS + YEAR_NS
    index = CatalogIndex(clock=lambda: now_ns)
    ads = catalog(50)
    index.load(ads, version=1)
    assert index.query(0, 0, 10)[1] == 0
    now_ns -= index_module.CLOCK_BACK_NS // 2
    assert index.query(0, 0, 10)[1] == 0
    now_ns = NOW_NS
    assert index.query(0, 0, 10)[1] == 50


def test_hash_knows_neither_order_nor_clock() -> None:
    ads = catalog(100)
    one = CatalogIndex(clock=lambda: NOW_NS)
    other = CatalogIndex(clock=lambda: NOW_NS + YEAR_NS)
    one.load(ads, version=3)
    other.load(reversed(ads), version=3)
    assert one.state()[:3] == other.state()[:3]
    other.apply(version=4, ad_id=ads[0].id, record=None)
    assert one.state()[1] != other.state()[1]


def test_memory_of_segments_and_events_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "SEGMENTS_MAX", 10)
    monkeypatch.setattr(index_module, "EVENTS_MAX", 10)
    ads = catalog(200)
    index = CatalogIndex(clock=lambda: NOW_NS)
    index.load(ads[:100], version=0)
    for version, ad in enumerate(ads[100:], start=1):
        index.query(code_of({"age": version}), 0, 10)
        index.apply(version=version, ad_id=ad.id, record=ad)
    assert len(index._segments) <= 10
    assert len(index._events) <= 10


def test_a_write_and_the_clock_read_no_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a short front costs is for the one who asks, not for the write or the next visitor."""
    now_ns = NOW_NS
    ads = catalog(300)
    index = CatalogIndex(clock=lambda: now_ns)
    index.load(ads, version=0)
    visitors: list[Visitor] = [
        {"age": age, "country": code} for age in range(1, 90) for code in ("TW", "JP")
    ]
    for visitor in visitors:
        index.query(code_of(visitor), 0, 10)
    read: list[object] = []
    matching = OrderedBlocks.matching

    def noted(live: OrderedBlocks, conditions: Conditions) -> list[int]:
        read.append(conditions)
        return matching(live, conditions)

    monkeypatch.setattr(OrderedBlocks, "matching", noted)
    for version, ad in enumerate(sorted(ads, key=lambda ad: ad.end_at)[:60], start=1):
        index.apply(version=version, ad_id=ad.id, record=None)
    ends_ns = sorted(epoch_us(ad.end_at) * 1000 for ad in ads)
    for end_ns in ends_ns[60:120]:
        now_ns = end_ns
        index.state()
    assert read == []
    kept = [ad for ad in ads if epoch_us(ad.end_at) * 1000 > now_ns]
    for visitor in visitors:
        wanted = expected(kept, now_ns=now_ns, visitor=visitor, offset=0, limit=10)
        assert index.query(code_of(visitor), 0, 10)[1:] == wanted


def test_other_contents_in_the_same_place_are_no_event() -> None:
    index = CatalogIndex(clock=lambda: NOW_NS)
    ads = catalog(50)
    index.load(ads, version=0)
    before = [index.query(code_of({"age": age}), 0, 50) for age in range(1, 100)]
    events = index._seen
    ad = replace(max(ads, key=lambda ad: ad.age_end - ad.age_start), title="Another", version=1)
    index.apply(version=1, ad_id=ad.id, record=ad)
    assert index._seen == events
    old = next(each for each in ads if each.id == ad.id)
    after = [index.query(code_of({"age": age}), 0, 50) for age in range(1, 100)]
    for (_, total, page), (version, now, shown) in zip(before, after, strict=True):
        assert (version, now) == (1, total)
        assert shown == [render(ad) if json == render(old) else json for json in page]
    assert before != after
    fresh = CatalogIndex(clock=lambda: NOW_NS)
    fresh.load([ad if each is old else each for each in ads], version=1)
    assert index.state() == fresh.state()


def test_work_at_once_has_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = NOW_NS
    monkeypatch.setattr(index_module, "AT_ONCE_PER_S", 10)
    monkeypatch.setattr(index_module, "AT_ONCE_BURST", 10)
    index = CatalogIndex(clock=lambda: now_ns)
    everybody = replace(catalog(1)[0], age_start=0, age_end=100, gender=(), country=(), platform=())
    index.load([everybody], version=0)
    for age in range(1, 9):
        index.query(code_of({"age": age}), 0, 10)
    left_to_visitors = []
    for version in range(1, 5):
        if version == 4:
            now_ns += 10**9
        ad = None if version % 2 else replace(everybody, version=version)
        index.apply(version=version, ad_id=everybody.id, record=ad)
        left_to_visitors.append(index._true_since == index._seen)
        shown = [render(ad)] if ad else []
        assert index.query(code_of({"age": 90}), 0, 10) == (version, len(shown), shown)
    # Each concerns eight segments or nine, and a second later there is time again.
    assert left_to_visitors == [False, True, True, False]
