"""Lists for operators: pages, order, filters, and the history of one ad."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from adserver.records import Actor, AdFields
from adserver.services import ads_close_ended, ads_import
from tests.api.bodies import ad_body

HOUR = timedelta(hours=1)


def fields(title: str, **changes) -> AdFields:
    now = timezone.now()
    values: dict[str, Any] = {"content": "Words", "start_at": now - HOUR, "end_at": now + HOUR}
    return AdFields(title=title, **(values | changes))


def titles(client, query: str = "") -> list[str]:
    answer = client.get(f"/api/v1/ads/?{query}")
    assert answer.status_code == 200, answer.json()
    return [ad["title"] for ad in answer.json()["results"]]


@pytest.fixture
def ads(db) -> None:
    now = timezone.now()
    ads_import(
        rows=[
            fields("Ended", start_at=now - 3 * HOUR, end_at=now - 2 * HOUR),
            fields("For all"),
            fields("For women of TW", country=("TW",), gender=("F",), end_at=now + 2 * HOUR),
            fields(
                "On phones later", platform=("ios",), start_at=now + HOUR, end_at=now + 3 * HOUR
            ),
        ],
        actor=Actor("tester"),
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["Ended", "For all", "For women of TW", "On phones later"]),
        ("state=ended", ["Ended"]),
        ("state=live", ["For all", "For women of TW"]),
        ("state=scheduled", ["On phones later"]),
        ("country=TW", ["Ended", "For all", "For women of TW", "On phones later"]),
        ("country=JP", ["Ended", "For all", "On phones later"]),
        ("gender=M&state=live", ["For all"]),
        ("platform=web&state=scheduled", []),
        ("platform=ios&state=scheduled", ["On phones later"]),
        ("q=tw", ["For women of TW"]),
        ("q=WORDS&ordering=-end_at", ["On phones later", "For women of TW", "For all", "Ended"]),
        ("q=100%25", []),
        ("ordering=title", ["Ended", "For all", "For women of TW", "On phones later"]),
        ("ordering=-version", ["On phones later", "For women of TW", "For all", "Ended"]),
        ("state=&country=&q=&page=&page_size=&ordering=", 4 * [None]),
        ("unknown=1", 4 * [None]),
    ],
)
def test_filters_and_order(client_op, ads, query, expected):
    got = titles(client_op, query)
    assert len(got) == len(expected)
    assert all(want in (None, have) for want, have in zip(expected, got, strict=True))


def test_a_closed_ad_stays_in_the_list(client_op, ads):
    assert ads_close_ended(actor=Actor("expiry")) == 1
    assert titles(client_op, "state=ended") == ["Ended"]


@pytest.mark.parametrize(
    ("query", "msg"),
    [
        ("state=dead", "state: must be scheduled, live or ended"),
        ("country=XX", "country: must be an ISO 3166-1 alpha-2 country"),
        ("gender=f", "gender: must be M or F"),
        ("platform=tv", "platform: must be android, ios or web"),
        ("page=0", "page: must be a whole number from 1 to 1000000000"),
        ("page=-1", "page: must be a whole number from 1 to 1000000000"),
        ("page=99999999999999999999", "page: must be a whole number from 1 to 1000000000"),
        ("page=1.5", "page: must be a whole number from 1 to 1000000000"),
        ("page=٣", "page: must be a whole number from 1 to 1000000000"),
        ("page_size=0", "page_size: must be a whole number from 1 to 1000"),
        ("page_size=1001", "page_size: must be a whole number from 1 to 1000"),
        ("page_size=many", "page_size: must be a whole number from 1 to 1000"),
        ("ordering=password", "ordering: must be one of "),
        ("ordering=--end_at", "ordering: must be one of "),
        ("ordering=title,end_at", "ordering: must be one of "),
        ("q=%00", "q: must have at most 200 characters, and no NUL"),
        ("q=" + 201 * "x", "q: must have at most 200 characters, and no NUL"),
        ("page=1&page=2", "page: is given more than once"),
    ],
)
def test_bad_parameters_are_named(client_op, query, msg):
    answer = client_op.get(f"/api/v1/ads/?{query}")
    assert answer.status_code == 400
    assert answer.json()["msg"].startswith(msg)


def test_pages(client_op, ads):
    first = client_op.get("/api/v1/ads/?page_size=3&q=for").json()
    assert (first["count"], first["next"], first["previous"]) == (2, None, None)
    seen, url = [], "/api/v1/ads/?page_size=1"
    while url:
        page = client_op.get(url).json()
        assert page["count"] == 4
        seen += [ad["title"] for ad in page["results"]]
        url = page["next"]
    assert seen == ["Ended", "For all", "For women of TW", "On phones later"]
    assert page["previous"] == "http://testserver/api/v1/ads/?page=3&page_size=1"
    second = client_op.get("/api/v1/ads/?page_size=1&page=2").json()
    assert second["previous"] == "http://testserver/api/v1/ads/?page_size=1"


def test_beyond_the_last_page(client_op, ads):
    answer = client_op.get("/api/v1/ads/?page_size=2&page=3")
    assert (answer.status_code, answer.json()) == (
        404,
        {"msg": "page: there is no page 3, the last is 2"},
    )


def test_no_ads_is_one_empty_page(client_op):
    assert client_op.get("/api/v1/ads/").json() == {
        "count": 0,
        "next": None,
        "previous": None,
        "results": [],
    }


def test_default_and_largest_page(client_op):
    ads_import(rows=[fields(f"Ad number {n}") for n in range(1001)], actor=Actor("tester"))
    assert len(titles(client_op)) == 50
    assert len(titles(client_op, "page_size=1000")) == 1000


def test_a_page_takes_three_queries_whatever_its_size(client_op, ads, django_assert_num_queries):
    for size in (1, 4):
        with django_assert_num_queries(3):  # The token, the count, the page.
            titles(client_op, f"page_size={size}")


def test_history_says_who_what_and_when(client_op, operator):
    created = client_op.post("/api/v1/ads/", ad_body(), content_type="application/json").json()
    path = f"/api/v1/ads/{created['id']}/"
    changed = client_op.patch(path, {"age_end": 50}, content_type="application/json").json()
    client_op.delete(path)
    history = client_op.get(f"{path}history/").json()
    assert history["count"] == 3
    deleted, updated, first = history["results"]

    assert [entry["operation"] for entry in history["results"]] == ["delete", "update", "create"]
    assert {entry["actor"] for entry in history["results"]} == {operator.username}
    assert updated["at"] == changed["updated_at"]
    assert updated["version"] == changed["version"]
    assert updated["changed"] == {"age_end": {"before": 100, "after": 50}}
    assert updated["before"] == first["after"]
    assert updated["after"] == {
        name: changed[name] for name in changed if name not in ("state", "updated_at")
    }
    assert (first["before"], deleted["after"]) == (None, None)
    assert deleted["before"] == updated["after"]


def test_history_in_pages(client_op):
    created = client_op.post("/api/v1/ads/", ad_body(), content_type="application/json").json()
    path = f"/api/v1/ads/{created['id']}/"
    for age in range(1, 4):
        client_op.patch(path, {"age_start": age}, content_type="application/json")
    page = client_op.get(f"{path}history/?page_size=1&page=2").json()
    assert page["count"] == 4
    assert page["results"][0]["changed"] == {"age_start": {"before": 1, "after": 2}}
    assert page["results"][0]["before"]["age_start"] == 1


def test_a_page_of_a_history_reads_no_more_than_that(client_op):
    created = client_op.post("/api/v1/ads/", ad_body(), content_type="application/json").json()
    path = f"/api/v1/ads/{created['id']}/"
    for age in range(1, 6):
        client_op.patch(path, {"age_start": age}, content_type="application/json")
    with CaptureQueriesContext(connection) as queries:
        page = client_op.get(f"{path}history/?page_size=2&page=2").json()
    ages = [entry["changed"]["age_start"] for entry in page["results"]]
    assert ages == [{"before": 2, "after": 3}, {"before": 1, "after": 2}]
    # The token, the count, the page and the entry before it.
    assert len(queries) == 3
    assert "LIMIT 3 OFFSET 2" in queries[-1]["sql"]


def test_history_of_an_ad_that_never_was(client_op):
    missing = "0192f0aa-0000-7000-8000-000000000001"
    answer = client_op.get(f"/api/v1/ads/{missing}/history/")
    assert (answer.status_code, answer.json()) == (404, {"msg": f"id: there is no ad {missing}"})
