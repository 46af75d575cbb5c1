"""The visitor page: the index's very answer, and a reason for every ad that is not in it."""

import orjson
import pytest
from django.utils import timezone

from adserver.admin.visitor import _fitting
from adserver.catalog import lookup_ads
from adserver.models import Ad, record_of
from adserver.records import render
from adserver.samples import random_ads
from adserver.services import ads_import
from tests.admin.conftest import SEED

VISITOR = "/admin/adserver/ad/visitor/"


@pytest.fixture
def five(make_ad, fill_index):
    make_ad("For all", end=1)
    make_ad("For girls in Japan", end=2, gender=("F",), country=("JP",))
    make_ad("For the young on iOS", end=3, age_end=17, platform=("ios",))
    make_ad("Not yet", start=1, end=4)
    make_ad("No longer", start=-3, end=-1)
    fill_index()


def reasons(response) -> dict[str, list[tuple[str, str]]]:
    return {row["ad"].title: row["reasons"] for row in response.context["others"]}


def test_shows_the_very_answer(client_op, five):
    query = "age=30&country=TW&gender=F&platform=web&limit=5"
    response = client_op.get(f"{VISITOR}?{query}")
    assert orjson.loads(response.context["raw"]) == orjson.loads(lookup_ads(query.encode()).body)
    assert [ad.title for ad, _, _ in response.context["cards"]] == ["For all"]
    assert response.context["total"] == 1
    assert response.context["version"] == response.context["newest_version"] == 5


def test_gives_a_reason_for_every_other_ad(client_op, five):
    found = reasons(client_op.get(f"{VISITOR}?age=30&country=TW&gender=M&platform=web"))
    assert [name for name, _ in found["For girls in Japan"]] == ["country", "gender"]
    assert found["For the young on iOS"] == [
        ("age", "for up to 17, not 30"),
        ("platform", "for ios, not web"),
    ]
    assert [name for name, _ in found["Not yet"]] == ["start"]
    assert [name for name, _ in found["No longer"]] == ["end"]
    assert "For all" not in found
    assert all(found.values())


def test_an_attribute_that_is_not_given_excludes_nothing(client_op, five):
    response = client_op.get(f"{VISITOR}?age=&country=")
    assert response.context["total"] == 3
    assert set(reasons(response)) == {"Not yet", "No longer"}


def test_says_which_ads_fit_but_lie_beyond_the_page(client_op, five):
    response = client_op.get(f"{VISITOR}?offset=1&limit=1&q=For")
    page = response.content.decode()
    assert "Numbers 2 to 2 are on this page of the answer; 2 more fit" in " ".join(page.split())
    rows = {row["ad"].title: (row["shown"], row["reasons"]) for row in response.context["others"]}
    assert rows == {
        "For all": (False, []),
        "For girls in Japan": (True, []),
        "For the young on iOS": (False, []),
    }
    assert "fits, beyond this page" in page


def test_a_search_for_what_no_text_holds(client_op, five):
    assert client_op.get(f"{VISITOR}?q=%00").status_code == 200


@pytest.mark.parametrize("query", ["age=0", "age=x", "country=tw", "limit=101", "offset=-1"])
def test_bad_input_shows_the_very_message(client_op, five, query):
    response = client_op.get(f"{VISITOR}?{query}")
    answer = lookup_ads(query.encode())
    assert answer.status == response.context["status"] == 400
    assert response.context["problem"] == orjson.loads(answer.body)["msg"]
    assert "others" not in response.context


def test_says_when_nothing_is_loaded(client_op, make_ad):
    make_ad()
    response = client_op.get(VISITOR)
    assert response.context["problem"] == "the catalog is not loaded yet"


def test_says_when_the_index_is_behind(client_op, make_ad, fill_index):
    make_ad()
    fill_index()
    make_ad("Written since")
    text = " ".join(client_op.get(VISITOR).content.decode().split())
    assert "Catalog version 1, the newest is 2." in text


def test_explains_one_ad_by_its_id(client_op, five):
    ad = Ad.objects.get(title="No longer")
    assert list(reasons(client_op.get(f"{VISITOR}?q={ad.id}"))) == ["No longer"]


def test_turns_pages(client_op, make_ad, fill_index):
    for number in range(30):
        make_ad(f"In Japan {number:02}", end=number + 1, country=("JP",))
    fill_index()
    first = client_op.get(f"{VISITOR}?country=TW")
    second = client_op.get(f"{VISITOR}?country=TW&page=2")
    assert len(first.context["others"]) == 25
    assert second.context["others"][0]["ad"].title == "In Japan 25"
    assert "?country=TW&amp;page=2" in first.content.decode()


def test_the_number_of_queries_does_not_grow(client_op, five, django_assert_num_queries, make_ad):
    client_op.get(f"{VISITOR}?country=TW")
    # Session, user, newest version, count, page.
    with django_assert_num_queries(5):
        client_op.get(f"{VISITOR}?country=TW")
    for number in range(20):
        make_ad(f"One more {number}", country=("JP",))
    with django_assert_num_queries(5):
        client_op.get(f"{VISITOR}?country=TW")


@pytest.mark.parametrize(
    "query", ["", "age=25&country=TW&gender=F&platform=ios", "age=70", "gender=M&platform=web"]
)
def test_the_databases_condition_is_the_indexs(fill_index, rf, query):
    ads_import(rows=list(random_ads(count=300, now=timezone.now(), seed=7)), actor=SEED)
    fill_index()
    fitting = Ad.objects.filter(_fitting(rf.get(f"/?{query}"))).order_by("end_at", "id")
    answer = orjson.loads(lookup_ads(f"{query}&limit=100".lstrip("&").encode()).body)
    assert answer["total"] == fitting.count() > 0
    assert answer["ads"] == [orjson.loads(render(record_of(ad))) for ad in fitting[:100]]


def test_needs_the_permission(staff_with):
    assert staff_with("add_ad").get(VISITOR).status_code == 403
    assert staff_with("view_ad").get(VISITOR).status_code == 200
