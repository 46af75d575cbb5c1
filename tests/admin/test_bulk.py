"""What is done to many ads: asked first, through the services, and told with numbers."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from adserver.models import Ad, AdChange

LIST = "/admin/adserver/ad/"


def bulk(name: str) -> str:
    return f"/admin/adserver/ad/bulk/{name}/"


def said(response) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def choose(client, action: str, *ads: Ad, **more: str):
    data = {"action": action, "_selected_action": [str(ad.id) for ad in ads], **more}
    return client.post(LIST, data)


ACTIONS = {
    "end_now": "end",
    "extend": "extend",
    "duplicate": "duplicate",
    "delete_selected": "delete",
}


@pytest.mark.parametrize("action", ACTIONS)
def test_choosing_asks_and_writes_nothing(client_op, make_ad, action):
    ads = [make_ad("First ad"), make_ad("Second ad")]
    response = choose(client_op, action, *ads)
    page = response.content.decode()
    assert response.status_code == 200
    assert ": 2 ads" in page
    assert "First ad" in page
    assert bulk(ACTIONS[action]) in page
    # Looking at the question by its address writes nothing either.
    assert client_op.get(bulk(ACTIONS[action]), {"id": str(ads[0].id)}).status_code == 200
    assert AdChange.objects.count() == 2
    assert Ad.objects.count() == 2


def test_end_now(client_op, make_ad, operator):
    live, ended = make_ad("Live one"), make_ad("Ended one", start=-3, end=-1)
    response = client_op.post(bulk("end"), {"id": [live.id, ended.id]})
    assert response.headers["Location"] == LIST
    assert said(response) == ["1 ad ended. The other one needed nothing."]
    live.refresh_from_db()
    assert live.state == "ended"
    entry = AdChange.objects.latest("version")
    assert (entry.ad_id, entry.operation, entry.actor_id) == (live.id, "update", operator.id)


@pytest.mark.parametrize(
    ("given", "days"), [({"by": "1"}, 1), ({"by": "30"}, 30), ({"by": "other", "days": "3"}, 3)]
)
def test_extend(client_op, make_ad, given, days):
    ad = make_ad()
    response = client_op.post(bulk("extend"), {"id": [ad.id], **given})
    assert said(response) == ["1 ad extended."]
    assert Ad.objects.get().end_at - ad.end_at == timedelta(days=days)
    assert AdChange.objects.count() == 2


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"by": "2"},
        {"by": "7", "days": "3"},
        {"by": "other"},
        {"by": "other", "days": "0"},
        {"by": "other", "days": "x"},
    ],
)
def test_extend_asks_again_for_what_it_cannot_use(client_op, make_ad, given):
    ad = make_ad()
    response = client_op.post(bulk("extend"), {"id": [ad.id], **given})
    assert response.status_code == 200
    assert response.context["form"].errors
    assert AdChange.objects.count() == 1


def test_extend_beyond_the_calendar_is_refused_in_words(client_op, make_ad):
    ad = make_ad(end_at=timezone.now().replace(year=9999, month=12, day=31))
    response = client_op.post(bulk("extend"), {"id": [ad.id], "by": "30"})
    assert said(response) == ["Nothing was extended: by: reaches beyond the year 9999"]
    assert AdChange.objects.count() == 1


def test_duplicate(client_op, make_ad):
    ads = [make_ad("First ad", country=("TW",)), make_ad("Second ad")]
    response = client_op.post(bulk("duplicate"), {"id": [ad.id for ad in ads]})
    assert said(response) == ["2 ads duplicated."]
    copy = Ad.objects.get(title="First ad (copy)")
    assert copy.country == ["TW"]
    assert AdChange.objects.filter(operation="create", actor_label="olga").count() == 2


def test_delete(client_op, make_ad):
    ads = [make_ad("First ad"), make_ad("Second ad"), make_ad("Third ad")]
    response = client_op.post(bulk("delete"), {"id": [ad.id for ad in ads[:2]]})
    assert said(response) == ["2 ads deleted."]
    assert Ad.objects.get().title == "Third ad"
    deleted = AdChange.objects.filter(operation="delete", actor_label="olga")
    assert {entry.ad_id for entry in deleted} == {ad.id for ad in ads[:2]}


def test_the_delete_button_of_one_ad_asks_first(client_op, make_ad):
    ad = make_ad()
    url = f"/admin/adserver/ad/{ad.id}/delete/"
    for response in (client_op.get(url, follow=True), client_op.post(url, follow=True)):
        assert "Delete: 1 ad" in response.content.decode()
    assert Ad.objects.exists()


@pytest.mark.parametrize(
    ("button", "name"), [("extend", "extend"), ("end", "end"), ("copy", "duplicate")]
)
def test_the_buttons_of_one_ad_lead_to_the_question(client_op, make_ad, button, name):
    ad = make_ad()
    response = client_op.get(f"/admin/adserver/ad/{ad.id}/{button}/", follow=True)
    assert response.context["action_url"] == bulk(name)
    assert response.context["ids"] == [ad.id]
    assert AdChange.objects.count() == 1
    back = client_op.post(bulk(name), {"id": [ad.id], "by": "1", "back": response.context["back"]})
    assert back.headers["Location"] == f"/admin/adserver/ad/{ad.id}/change/"


def test_all_ads_of_a_filter(client_op, make_ad):
    make_ad("In Japan", country=("JP",))
    other = make_ad("In Taiwan", country=("TW",))
    data = {"action": "end_now", "_selected_action": [str(other.id)], "select_across": "1"}
    response = client_op.post(f"{LIST}?country=TW", data)
    assert response.context["ids"] == [other.id]
    # And back to the same filter.
    assert response.context["back"] == f"{LIST}?country=TW"


def test_too_many_and_none_are_refused_in_words(client_op, make_ad, monkeypatch):
    monkeypatch.setattr("adserver.admin.bulk.ADS_MAX", 1)
    ads = [make_ad("First ad"), make_ad("Second ad")]
    for response, words in (
        (choose(client_op, "end_now", *ads), "Choose at most 1 ads at once."),
        (client_op.post(bulk("end"), {}), "No ad was chosen."),
    ):
        assert response.status_code == 302
        assert said(response)[-1] == words
    assert AdChange.objects.count() == 2


def test_ads_that_are_gone_are_not_counted(client_op, make_ad):
    ad = make_ad()
    ids = [ad.id, "01a1fd0f-fed1-7474-a562-6e5a154864c8"]
    response = client_op.post(bulk("delete"), {"id": ids})
    assert said(response) == ["1 ad deleted. The other one needed nothing."]


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("end", "change_ad"),
        ("extend", "change_ad"),
        ("duplicate", "add_ad"),
        ("delete", "delete_ad"),
    ],
)
def test_permissions(staff_with: Callable, make_ad, name, needed):
    ad = make_ad()
    others = {"view_ad", "add_ad", "change_ad", "delete_ad"} - {needed}
    without, having = staff_with(*others), staff_with("view_ad", needed)
    data = {"id": [ad.id], "by": "1"}
    assert without.post(bulk(name), data).status_code == 403
    assert AdChange.objects.count() == 1
    assert having.post(bulk(name), data).status_code == 302
    assert AdChange.objects.count() == 2


def test_nonsense_is_not_found(client_op):
    assert client_op.get(bulk("explode")).status_code == 404
    assert client_op.get(bulk("end"), {"id": "x"}).status_code == 404


def test_leads_back_only_to_this_site(client_op, make_ad):
    ad = make_ad()
    response = client_op.post(bulk("end"), {"id": [ad.id], "back": "https://elsewhere.example/"})
    assert response.headers["Location"] == LIST


def test_posting_needs_the_form_of_this_site(operator, make_ad):
    ad = make_ad()
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    assert client.post(bulk("delete"), {"id": [ad.id]}).status_code == 403
    assert Ad.objects.exists()
