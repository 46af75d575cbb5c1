"""The change log for people: the list, and the history of one ad."""

from datetime import timedelta

import pytest
from django.utils import timezone
from msgspec.structs import replace

from adserver.admin import changes
from adserver.models import AdChange
from adserver.records import Actor
from adserver.services import ad_change, ad_delete, ads_end_now, changelog_trim

LOG = "/admin/adserver/adchange/"
OTTO = Actor("otto")


def history(ad_id) -> str:
    return f"/admin/adserver/ad/{ad_id}/history/"


def rename(ad, title):
    ad_change(ad_id=ad.id, change=lambda fields: replace(fields, title=title), actor=OTTO)


def test_history_says_who_when_before_and_after(client_op, make_ad):
    ad = make_ad("First title", country=("TW",))
    rename(ad, "Second title")
    response = client_op.get(history(ad.id))
    newest, oldest = response.context["entries"]
    assert (newest["actor"], newest["version"]) == ("otto", 2)
    assert newest["changed"] == [("title", "First title", "Second title")]
    assert ("country", "—", "TW") in oldest["changed"]
    assert ("platform", "—", "everybody") in oldest["changed"]
    page = response.content.decode()
    assert "otto" in page
    assert "Second title" in page


def test_history_outlives_the_ad(client_op, make_ad):
    ad = make_ad("Soon gone")
    ad_delete(ad_id=ad.id, actor=OTTO)
    response = client_op.get(history(ad.id))
    assert response.status_code == 200
    assert response.context["ad_title"] == "Soon gone"
    assert ("title", "Soon gone", "—") in response.context["entries"][0]["changed"]
    # Nothing leads to the form of an ad that is not there.
    assert f"/admin/adserver/ad/{ad.id}/change/" not in response.content.decode()


def test_history_of_a_deleted_ad_whose_older_changes_are_trimmed(client_op, make_ad):
    ad = make_ad("Long gone")
    ad_delete(ad_id=ad.id, actor=OTTO)
    changelog_trim(before=timezone.now())
    response = client_op.get(history(ad.id))
    assert response.status_code == 200
    assert response.context["ad_title"] == str(ad.id)
    assert len(response.context["entries"]) == 1


def test_history_shows_the_newest_and_how_many_are_older(client_op, make_ad, monkeypatch):
    monkeypatch.setattr(changes, "_ENTRIES_SHOWN", 2)
    ad = make_ad("Title 0")
    for number in range(1, 4):
        rename(ad, f"Title {number}")
    response = client_op.get(history(ad.id))
    shown = response.context["entries"]
    assert [entry["changed"] for entry in shown] == [
        [("title", "Title 2", "Title 3")],
        [("title", "Title 1", "Title 2")],
    ]
    assert "2 older changes not shown here" in response.content.decode()


def test_history_of_nothing_is_not_found(client_op):
    assert client_op.get(history("01a1fd0f-fed1-7474-a562-6e5a154864c8")).status_code == 404
    assert client_op.get(history("nonsense")).status_code == 404


def test_history_needs_the_permission(staff_with, make_ad):
    ad = make_ad()
    assert staff_with("add_ad").get(history(ad.id)).status_code == 403
    assert staff_with("view_ad").get(history(ad.id)).status_code == 200


@pytest.fixture
def log(make_ad):
    first, second = make_ad("First ad"), make_ad("Second ad")
    rename(first, "First, renamed")
    ads_end_now(ad_ids=[second.id], actor=Actor("olga"))
    ad_delete(ad_id=second.id, actor=OTTO)
    return first, second


def versions(response) -> list[int]:
    return [change.version for change in response.context["cl"].result_list]


def test_lists_everything_newest_first_with_titles(client_op, log):
    response = client_op.get(LOG)
    assert versions(response) == [5, 4, 3, 2, 1]
    # A deleted ad goes by its last title.
    titles = [change.ad_title for change in response.context["cl"].result_list]
    assert titles == ["Second ad", "Second ad", "First, renamed", "Second ad", "First ad"]
    assert history(log[1].id) in response.content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=otto", [5, 3]),
        ("q=3", [3]),
        ("operation=delete", [5]),
        ("operation=update", [4, 3]),
        ("operation=update&q=olga", [4]),
        ("days=1", [5, 4]),
        ("days=x", [5, 4, 3, 2, 1]),
        ("operation=x", [5, 4, 3, 2, 1]),
        ("operation=%00", [5, 4, 3, 2, 1]),
        ("q=99999999999999999999999", []),
    ],
)
def test_filters_and_search(client_op, log, query, found):
    old = AdChange.objects.get(version=3).created_at - timedelta(days=3)
    AdChange.objects.filter(version__lte=3).update(created_at=old)
    assert versions(client_op.get(f"{LOG}?{query}")) == found


def test_finds_by_the_ads_id(client_op, log):
    assert versions(client_op.get(f"{LOG}?q={log[0].id}")) == [3, 1]


def test_the_number_of_queries_does_not_grow(client_op, log, make_ad, django_assert_num_queries):
    client_op.get(LOG)
    # Session, user, count, page.
    with django_assert_num_queries(4):
        client_op.get(LOG)
    for number in range(20):
        make_ad(f"One more {number}")
    with django_assert_num_queries(4):
        client_op.get(LOG)


def test_nobody_writes_the_log(client_op, log):
    assert client_op.get(f"{LOG}add/").status_code == 403
    assert client_op.post(f"{LOG}1/delete/", {"post": "yes"}).status_code == 403
    client_op.post(f"{LOG}1/change/", {"actor_label": "nobody"})
    client_op.post(LOG, {"action": "delete_selected", "_selected_action": ["1"], "post": "yes"})
    assert AdChange.objects.filter(version=1, actor_label="seed").exists()


def test_needs_the_permission(staff_with):
    assert staff_with("view_ad").get(LOG).status_code == 403
    assert staff_with("view_adchange").get(LOG).status_code == 200
