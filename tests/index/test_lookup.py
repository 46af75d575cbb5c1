"""The hot handler: quick and careful reading agree, and each mistake has its words."""

import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adserver import fastpath
from adserver.fastpath import OFFSET_MAX, AdLookup, InvalidQueryError, parse_query
from adserver.index import CatalogIndex
from adserver.targeting import visitor_code
from tests.index.strategies import EPOCH
from tests.index.test_index_sizes import NOW_NS, catalog

VALUES = {
    "age": ["", "1", "25", "255", "0", "256", "025", "+5", "-1", "2.5", "٣", "1e2", "x"],
    "country": ["", "TW", "tw", "XX", "TWN", "GB"],
    "gender": ["", "M", "F", "X", "m"],
    "platform": ["", "ios", "android", "web", "iOS", "tv"],
    "offset": ["", "0", "7", "999", "1000", "99999999999", "-1", "a", "9" * 30],
    "limit": ["", "1", "10", "100", "0", "101", "ten", "5 "],
    "other": ["", "1", "%"],
}
pairs = st.lists(
    st.sampled_from(sorted(VALUES)).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(VALUES[name]))
    ),
    max_size=7,
)


@pytest.fixture(scope="module")
def lookup() -> AdLookup:
    index = CatalogIndex(clock=lambda: NOW_NS)
    index.load(catalog(300), version=41)
    return AdLookup(index)


def by_the_book(query: bytes) -> tuple[int, int, int] | str:
    try:
        return parse_query(query)
    except InvalidQueryError as error:
        return str(error)


@given(pairs=pairs, data=st.data())
def test_quick_and_careful_reading_agree(lookup: AdLookup, pairs, data: st.DataObject) -> None:
    query = urlencode(pairs).encode()
    if data.draw(st.booleans()):
        query = data.draw(st.sampled_from((b"&%b", b"%b&", b"&&%b&"))) % query
    agree(lookup, query)


@given(query=st.binary(max_size=60))
def test_any_bytes_get_an_answer(lookup: AdLookup, query: bytes) -> None:
    answer = lookup(query)
    assert answer.status in (200, 400)
    assert json.loads(answer.body)


@pytest.mark.parametrize(
    ("query", "msg"),
    [
        (b"age=0", "age: must be a whole number from 1 to 255"),
        (b"age=256", "age: must be a whole number from 1 to 255"),
        (b"age=1.5", "age: must be a whole number from 1 to 255"),
        (b"country=tw", "country: must be an ISO 3166-1 alpha-2 country"),
        (b"country=ZZ", "country: must be an ISO 3166-1 alpha-2 country"),
        (b"gender=X", "gender: must be M or F"),
        (b"platform=tv", "platform: must be android, ios or web"),
        (b"limit=0", "limit: must be a whole number from 1 to 100"),
        (b"limit=101", "limit: must be a whole number from 1 to 100"),
        (b"offset=-1", "offset: must be a whole number, 0 or more"),
        (b"age=25&age=25", "age: is given more than once"),
        (b"age=%ff", "age: must be a whole number from 1 to 255"),
    ],
)
def test_each_mistake_has_its_words(lookup: AdLookup, query: bytes, msg: str) -> None:
    answer = lookup(query)
    assert (answer.status, json.loads(answer.body)) == (400, {"msg": msg})


@pytest.mark.parametrize(
    ("query", "parsed"),
    [
        (b"", (0, 0, 10)),
        (b"age=&country=&gender=&platform=&offset=&limit=", (0, 0, 10)),
        (b"unknown=1&age=25", (visitor_code(age=25), 0, 10)),
        (b"age=%32%35&limit=100&offset=0", (visitor_code(age=25), 0, 100)),
        (b"name=%E5%8F%B0&x=\xff%ff&%", (0, 0, 10)),
        (b"AGE=300&Country=zz", (0, 0, 10)),
        (b"offset=1000&limit=1", (0, 1000, 1)),
        (b"offset=" + b"9" * 5000, (0, OFFSET_MAX, 10)),
        (b"offset=0000000000000000000000007", (0, 7, 10)),
        (b"&".join(b"p%d=%d" % (n, n) for n in range(500)), (0, 0, 10)),
    ],
)
def test_what_is_borne(lookup: AdLookup, query: bytes, parsed: tuple[int, int, int]) -> None:
    assert parse_query(query) == parsed
    assert lookup(query).status == 200


def test_paging_walks_the_whole_catalog_once(lookup: AdLookup) -> None:
    total = json.loads(lookup(b"limit=1").body)["total"]
    seen: list[str] = []
    for offset in range(0, total + 7, 7):
        seen += [ad["id"] for ad in json.loads(lookup(b"limit=7&offset=%d" % offset).body)["ads"]]
    assert len(seen) == len(set(seen)) == total > 160


def test_before_the_catalog_is_loaded() -> None:
    answer = AdLookup(CatalogIndex(clock=lambda: NOW_NS))(b"")
    assert answer.status == 503
    assert answer.headers == ((b"retry-after", b"1"),)


def test_an_ad_is_rendered_as_promised(lookup: AdLookup) -> None:
    ad = json.loads(lookup(b"limit=1").body)["ads"][0]
    assert (
        list(ad)
        == (
            "id title content start_at end_at age_start age_end gender country platform "
            "version created_at"
        ).split()
    )
    assert ad["created_at"] == EPOCH.strftime("%Y-%m-%dT%H:%M:%SZ")


def agree(lookup: AdLookup, query: bytes) -> None:
    answer, parsed = lookup(query), by_the_book(query)
    if isinstance(parsed, str):
        assert (answer.status, json.loads(answer.body)) == (400, {"msg": parsed})
        return
    visitor, offset, limit = parsed
    _, total, page = lookup._index.query(visitor, offset, limit)
    body = json.loads(answer.body)
    assert answer.status == 200
    assert answer.headers == ((b"x-catalog-version", b"41"),)
    assert body == {"ads": [json.loads(ad) for ad in page], "total": total}


HALVES = (
    b"",
    b"age=25",
    b"age=25&country=TW",
    b"limit=5",
    b"offset=3",
    b"age=0",
    b"3",
    b"3&limit=5",
)


@pytest.mark.parametrize("where", [*HALVES, b"3&age=25", b"4&offset=3", b"&", b"3&limit="])
@pytest.mark.parametrize("who", HALVES)
def test_halves_that_are_remembered_mean_nothing_else_elsewhere(who: bytes, where: bytes) -> None:
    index = CatalogIndex(clock=lambda: NOW_NS)
    index.load(catalog(30), version=41)
    lookup = AdLookup(index)
    for query in (b"age=25&country=TW&offset=3&limit=5", b"age=25&offset=3", b"age=25", b""):
        agree(lookup, query)
    for _ in range(2):
        for query in (who, where, who + b"&offset=" + where, where + b"&offset=" + who):
            agree(lookup, query)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastpath, "_KNOWN_MOST", 10)
    index = CatalogIndex(clock=lambda: NOW_NS)
    index.load(catalog(30), version=41)
    lookup = AdLookup(index)
    for number in range(1, 100):
        agree(lookup, b"age=%d&offset=%d" % (number, number))
    assert len(lookup._visitors) <= 10
    assert len(lookup._pages) <= 10
