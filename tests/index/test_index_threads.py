"""Readers without a lock, beside a writer and a clock that moves: every answer is one state."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from threading import Barrier, Event
from urllib.parse import urlencode
from uuid import UUID

import pytest
from msgspec.structs import replace

from adserver import index as index_module
from adserver.fastpath import AdLookup
from adserver.index import CatalogIndex
from adserver.records import AdRecord, render
from tests.index.reference import Visitor, code_of, expected
from tests.index.strategies import EPOCH
from tests.index.test_index_sizes import NOW_NS, catalog

ADS = 12
WRITES = 5_000
DAY_NS = 86_400 * 10**9


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    """Let threads interrupt one another a thousand times as often as usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(usual)


def test_every_answer_is_one_state_of_the_catalog() -> None:
    """All ads carry the version that wrote them, and version v is written to ad v mod ADS: so the
    versions in an answer follow from the catalog's, and a torn answer cannot hide.
    """
    template = catalog(1)[0]
    ids = [ad.id for ad in catalog(ADS)]
    now_ns = NOW_NS
    stop, everybody = Event(), Barrier(4)

    def written(version: int) -> AdRecord:
        values = {name: getattr(template, name) for name in template.__struct_fields__}
        values |= {"id": ids[version % ADS], "version": version, "gender": ()}
        values |= {"age_start": 0, "age_end": 100, "country": (), "platform": ()}
        values |= {"start_at": EPOCH, "end_at": EPOCH + timedelta(days=9)}
        return AdRecord(**values)

    records = [written(version) for version in range(ADS + WRITES)]
    versions = {render(record): record.version for record in records}
    index = CatalogIndex(clock=lambda: now_ns)
    index.load(records[:ADS], version=ADS - 1)

    def read() -> int:
        answers = 0
        while not stop.is_set():
            version, total, page = index.query(0, 0, ADS)
            assert version is not None
            assert total == ADS
            assert {versions[ad] for ad in page} == set(range(version - ADS + 1, version + 1))
            answers += 1
            if answers == 1:
                everybody.wait()
        return answers

    with ThreadPoolExecutor(3) as readers:
        reading = [readers.submit(read) for _ in range(3)]
        everybody.wait(timeout=60)
        try:
            for version in range(ADS, ADS + WRITES):
                index.apply(version=version, ad_id=ids[version % ADS], record=records[version])
        finally:
            stop.set()
        assert all(each.result() > 0 for each in reading)


def ask(lookup: AdLookup, visitor: Visitor, offset: int, limit: int) -> tuple[int, int, bytes]:
    """Version, total and contents: of some pages from the index, of others from an answer."""
    if (offset + limit) % 2:
        version, total, page = lookup._index.query(code_of(visitor), offset, limit)
        assert version is not None
        return version, total, b",".join(page)
    answer = lookup(urlencode({**visitor, "offset": offset, "limit": limit}).encode())
    shown, _, total_text = answer.body.rpartition(b'],"total":')
    version = int(answer.text_headers()["x-catalog-version"])
    return version, int(total_text[:-1]), shown.removeprefix(b'{"ads":[')


def test_every_segment_is_of_the_version_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ads come, go, move and change; segments follow at once, later, or are forgotten meanwhile."""
    monkeypatch.setattr(index_module, "SEGMENTS_MAX", 4)
    random = Random(1)
    ads: dict[int, AdRecord] = {}
    visitors: list[Visitor] = [{"country": code} for code in ("TW", "JP", "US")]
    visitors += [{}, {"age": 150}, {"country": "TW", "age": 30}]
    history: dict[int, list[list[bytes]]] = {}
    index = CatalogIndex(clock=lambda: NOW_NS)
    lookup = AdLookup(index)
    stop, everybody = Event(), Barrier(4)

    def some_ad(number: int, version: int) -> AdRecord:
        template = catalog(1)[0]
        values = {name: getattr(template, name) for name in template.__struct_fields__}
        values |= {"id": UUID(int=number + 1), "version": version, "gender": (), "platform": ()}
        values |= {"age_start": 0, "age_end": 100, "start_at": EPOCH}
        values["country"] = tuple(random.sample(("TW", "JP", "US"), random.randrange(3)))
        values["end_at"] = EPOCH + timedelta(days=9, seconds=random.randrange(100))
        return AdRecord(**values)

    def remember(version: int) -> None:
        history[version] = [
            expected(ads.values(), now_ns=NOW_NS, visitor=visitor, offset=0, limit=200)[1]
            for visitor in visitors
        ]
        history.pop(version - 50, None)

    def read(seed: int) -> int:
        chooser, answers = Random(seed), 0
        while not stop.is_set():
            number = chooser.randrange(len(visitors))
            offset, limit = chooser.choice((0, 0, 5, 30)), chooser.choice((1, 10, 40, 100))
            version, total, shown = ask(lookup, visitors[number], offset, limit)
            wanted = history[version][number]
            assert (total, shown) == (len(wanted), b",".join(wanted[offset : offset + limit]))
            answers += 1
            if answers == 1:
                everybody.wait()
        return answers

    for number in range(90):
        ads[number] = some_ad(number, 1)
    remember(1)
    index.load(ads.values(), version=1)
    with ThreadPoolExecutor(3) as readers:
        reading = [readers.submit(read, seed) for seed in range(3)]
        everybody.wait(timeout=60)
        try:
            for version in range(2, 500):
                number = random.randrange(90)
                if number in ads and random.random() < 0.3:
                    del ads[number]
                elif number in ads and random.random() < 0.5:
                    ads[number] = replace(ads[number], version=version)
                else:
                    ads[number] = some_ad(number, version)
                remember(version)
                index.apply(
                    version=version,
                    ad_id=UUID(int=number + 1),
                    record=ads.get(number),
                    one_of_many=random.random() < 0.2,
                )
        finally:
            stop.set()
        assert all(each.result() > 0 for each in reading)


def test_nobody_sees_an_ad_after_its_end() -> None:
    """The clock only moves between a reader's look at it and its answer: never past an end."""
    ads = catalog(300)
    ends_ns = sorted(int(ad.end_at.timestamp() * 1_000_000) * 1000 for ad in ads)
    now_ns = NOW_NS
    stop, everybody = Event(), Barrier(4)
    index = CatalogIndex(clock=lambda: now_ns)
    index.load(ads, version=1)

    def read() -> int:
        answers = 0
        while not stop.is_set():
            before_ns = now_ns
            _, total, _ = index.query(0, 0, 1)
            live_then = sum(end_ns > before_ns for end_ns in ends_ns)
            assert total <= live_then
            answers += 1
            if answers == 1:
                everybody.wait()
        return answers

    with ThreadPoolExecutor(3) as readers:
        reading = [readers.submit(read) for _ in range(3)]
        everybody.wait(timeout=60)
        try:
            for number in range(400):
                now_ns = NOW_NS + number * DAY_NS
        finally:
            stop.set()
        assert all(each.result() > 0 for each in reading)
