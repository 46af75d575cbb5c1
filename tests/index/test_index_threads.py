"""Readers without a lock, beside a writer and a clock that moves: every answer is one state."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event

import pytest

from adserver.index import CatalogIndex
from adserver.records import AdRecord, render
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
