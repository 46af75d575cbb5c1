"""Create, retrieve, replace, change and delete: answers, versions and mistakes."""

import uuid
from datetime import datetime
from typing import Any

import pytest
from django.test import Client

from adserver.models import Ad, AdChange
from tests.api.bodies import MISTAKES, ad_body

JSON = "application/json"
FULL = {
    "age_start": 18,
    "age_end": 35,
    "gender": ["F"],
    "country": ["TW", "JP"],
    "platform": ["ios", "web"],
}


def utc(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


@pytest.fixture
def ad(client_op: Client) -> Any:
    answer = client_op.post("/api/v1/ads/", ad_body(**FULL), content_type=JSON)
    assert answer.status_code == 201
    return answer.json()


def test_create_answers_as_published(client_op):
    answer = client_op.post("/api/v1/ad", ad_body(), content_type=JSON)
    assert answer.status_code == 201
    assert answer.json() == {"msg": "Ad created", "data": str(Ad.objects.get().pk)}
    assert answer["X-Catalog-Version"] == str(AdChange.objects.get().version)
    assert answer["Content-Type"] == JSON


def test_create_gives_the_ad_back(client_op):
    answer = client_op.post("/api/v1/ads/", ad_body(**FULL), content_type=JSON)
    stored = Ad.objects.get()
    assert answer.json() == {
        **ad_body(**FULL),
        "id": str(stored.pk),
        "start_at": utc(stored.start_at),
        "end_at": utc(stored.end_at),
        "version": stored.version,
        "created_at": utc(stored.created_at),
        "updated_at": utc(stored.updated_at),
        "state": "live",
    }
    assert answer["X-Catalog-Version"] == str(stored.version)
    assert answer["Location"] == f"http://testserver/api/v1/ads/{stored.pk}/"
    assert client_op.get(answer["Location"]).json() == answer.json()


def test_defaults_are_everybody(client_op):
    ad = client_op.post("/api/v1/ads/", ad_body(), content_type=JSON).json()
    assert (ad["age_start"], ad["age_end"]) == (0, 100)
    assert ad["gender"] == ad["country"] == ad["platform"] == []


def test_both_layouts_of_time_are_one_time(client_op):
    body = ad_body(start_at="2026-01-01 08:00:00 +0800 CST", end_at="2099-01-01T00:00:00+00:00")
    ad = client_op.post("/api/v1/ads/", body, content_type=JSON).json()
    assert (ad["start_at"], ad["end_at"]) == ("2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z")


def test_replace_sets_defaults_for_what_is_left_out(client_op, ad):
    answer = client_op.put(f"/api/v1/ads/{ad['id']}/", ad_body(title="Another"), content_type=JSON)
    new = answer.json()
    assert answer.status_code == 200
    assert (new["title"], new["country"], new["age_end"]) == ("Another", [], 100)
    assert new["version"] == ad["version"] + 1 == int(answer["X-Catalog-Version"])
    assert new["created_at"] == ad["created_at"]


def test_an_ad_read_may_be_sent_back(client_op, ad):
    answer = client_op.put(f"/api/v1/ads/{ad['id']}/", ad, content_type=JSON)
    changed_by_server = {"version", "updated_at"}
    assert {k: v for k, v in answer.json().items() if k not in changed_by_server} == {
        k: v for k, v in ad.items() if k not in changed_by_server
    }


def test_change_keeps_what_is_left_out(client_op, ad):
    answer = client_op.patch(f"/api/v1/ads/{ad['id']}/", {"title": "Another"}, content_type=JSON)
    assert answer.status_code == 200
    assert answer.json() == {
        **ad,
        "title": "Another",
        "version": ad["version"] + 1,
        "updated_at": answer.json()["updated_at"],
    }
    assert answer["X-Catalog-Version"] == str(ad["version"] + 1)


def test_change_is_checked_against_what_stays(client_op, ad):
    answer = client_op.patch(f"/api/v1/ads/{ad['id']}/", {"age_start": 36}, content_type=JSON)
    assert (answer.status_code, answer.json()) == (
        400,
        {"msg": "age_end: must not be less than age_start"},
    )
    assert Ad.objects.get().age_start == 18


def test_delete_leaves_only_the_history(client_op, ad):
    answer = client_op.delete(f"/api/v1/ads/{ad['id']}/")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer["X-Catalog-Version"] == str(ad["version"] + 1)
    assert client_op.get(f"/api/v1/ads/{ad['id']}/").status_code == 404
    operations = [
        entry["operation"]
        for entry in client_op.get(f"/api/v1/ads/{ad['id']}/history/").json()["results"]
    ]
    assert operations == ["delete", "create"]


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_no_such_ad(client_op, method):
    missing = uuid.uuid4()
    body = {} if method == "get" else {"data": ad_body(), "content_type": JSON}
    answer = getattr(client_op, method)(f"/api/v1/ads/{missing}/", **body)
    assert (answer.status_code, answer.json()) == (404, {"msg": f"id: there is no ad {missing}"})
    assert "X-Catalog-Version" not in answer


@pytest.mark.parametrize("path", ["/api/v1/ad", "/api/v1/ads/"])
@pytest.mark.parametrize(("changes", "msg"), MISTAKES)
def test_mistakes_are_named(client_op, path, changes, msg):
    answer = client_op.post(path, ad_body(**changes), content_type=JSON)
    assert (answer.status_code, answer.json()) == (400, {"msg": msg})
    assert not AdChange.objects.exists()


def test_all_mistakes_are_named_at_once(client_op):
    answer = client_op.post("/api/v1/ad", {"title": "x", "age_start": 1.5}, content_type=JSON)
    assert answer.json()["msg"] == (
        "title: must have 5 to 100 characters, not 1; age_start: must be a whole number; "
        "content: is required; start_at: is required; end_at: is required"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "fives"},
        {"title": "x" * 100},
        {"title": "廣告標題五"},
        {"content": ""},
        {"age_start": 0, "age_end": 0},
        {"age_start": 100, "age_end": 100},
        {"gender": ["F", "M"], "country": ["TW"], "platform": ["android", "ios", "web"]},
    ],
)
def test_limits_are_inclusive(client_op, changes):
    answer = client_op.post("/api/v1/ads/", ad_body(**changes), content_type=JSON)
    assert answer.status_code == 201
    assert {name: answer.json()[name] for name in changes} == changes


def test_writes_take_few_queries(client_op, ad, django_assert_num_queries):
    def create():
        client_op.post("/api/v1/ad", ad_body(), content_type=JSON)

    def change():
        client_op.patch(f"/api/v1/ads/{ad['id']}/", {"title": "Another"}, content_type=JSON)

    for write in (create, change):
        write()  # Prepares the statements.
        # Token, savepoint, lock and newest version with the ad, ad and log entry, savepoint; a
        # superuser needs no more.
        with django_assert_num_queries(5):
            write()
