"""The ad's form: it writes through the services, in the API's words, and loses nobody's change."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone
from msgspec.structs import replace

from adserver.admin.form import AdForm, EditConflictError
from adserver.models import Ad, AdChange, record_of
from adserver.records import Actor, InvalidAdError, fields_of, parse_fields
from adserver.services import ad_change, ad_delete, ads_close_ended
from tests.admin.conftest import browser_time, form_data

ADD = "/admin/adserver/ad/add/"


def change_url(ad: Ad) -> str:
    return f"/admin/adserver/ad/{ad.id}/change/"


def utc_of(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_creates_through_the_service(client_op, operator):
    data = form_data(
        title="Night market", gender=["F"], country=["TW", "JP"], platform=["ios"], age_start=18
    )
    response = client_op.post(ADD, data)
    assert response.status_code == 302, response.context["errors"]
    ad = Ad.objects.get()
    assert (ad.title, ad.gender, ad.country) == ("Night market", ["F"], ["TW", "JP"])
    assert (ad.platform, ad.age_start, ad.age_end) == (["ios"], 18, 100)
    entry = AdChange.objects.get()
    assert (entry.operation, entry.actor_id, entry.actor_label) == ("create", operator.id, "olga")
    assert entry.ad_id == ad.id
    assert entry.version == ad.version == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": "abc"},
        {"title": "x" * 101},
        {"end_at": "2020-01-01T00:00"},
        {"age_start": 50, "age_end": 20},
        {"age_end": 101},
    ],
    ids=lambda wrong: "-".join(wrong),
)
def test_mistakes_get_the_apis_words(client_op, wrong):
    data = form_data(**wrong)
    response = client_op.post(ADD, data)
    assert response.status_code == 200
    raw = {**data, "age_start": int(data["age_start"]), "age_end": int(data["age_end"])}
    raw |= {name: utc_of(data[name]) for name in ("start_at", "end_at")}
    del raw["base_version"]
    with pytest.raises(InvalidAdError) as caught:
        parse_fields(raw)
    form = response.context["adminform"].form
    assert dict(form.errors) == {name: [text] for name, text in caught.value.errors.items()}
    assert not Ad.objects.exists()
    assert not AdChange.objects.exists()


def test_an_ad_of_the_api_may_begin_and_end_with_spaces(client_op, make_ad):
    ad = make_ad("  ab  ")
    url = f"/admin/adserver/ad/{ad.id}/change/"
    page = client_op.get(url).context["adminform"].form
    data = form_data(title=page.initial["title"], base_version=ad.version)
    assert client_op.post(url, data).status_code == 302
    assert Ad.objects.get().title == "  ab  "


def test_names_every_missing_field_at_once(client_op):
    response = client_op.post(ADD, {"content": "", "age_start": "x", "age_end": ""})
    assert dict(response.context["adminform"].form.errors) == {
        "title": ["is required"],
        "start_at": ["is required"],
        "end_at": ["is required"],
        "age_start": ["must be a whole number"],
    }


def test_empty_ages_mean_everybody(client_op):
    assert client_op.post(ADD, form_data(age_start="", age_end="")).status_code == 302
    ad = Ad.objects.get()
    assert (ad.age_start, ad.age_end) == (0, 100)


def test_changes_one_field_and_logs_before_and_after(client_op, make_ad):
    ad = make_ad()
    response = client_op.post(change_url(ad), form_data(ad, title="Another title"))
    assert response.status_code == 302
    entries = list(AdChange.objects.order_by("version"))
    assert [entry.operation for entry in entries] == ["create", "update"]
    before, after = entries[0].ad, entries[1].ad
    assert before is not None
    assert after is not None
    assert {name for name in before if before[name] != after[name]} == {"title", "version"}
    assert entries[1].actor_label == "olga"


def test_saving_without_a_change_writes_nothing(client_op, make_ad):
    ad = make_ad(
        content="two\r\nlines", gender=("F", "M"), country=("TW", "JP"), platform=("web", "ios")
    )
    assert ad.end_at.microsecond, "the case is about microseconds, which the browser cannot say"
    data = form_data(ad, country=["JP", "TW"], content="two\nlines")
    assert client_op.post(change_url(ad), data).status_code == 302
    assert AdChange.objects.count() == 1


def test_browser_line_breaks_become_plain_ones(client_op):
    client_op.post(ADD, form_data(content="two\r\nlines"))
    assert Ad.objects.get().content == "two\nlines"


def test_shows_somebody_elses_change_before_it_is_replaced(client_op, make_ad):
    ad = make_ad()
    opened = form_data(ad, title="My new title")
    ad_change(
        ad_id=ad.id,
        change=lambda fields: replace(fields, content="Theirs"),
        actor=Actor("otto"),
    )
    response = client_op.post(change_url(ad), opened)
    assert response.status_code == 200
    (message,) = response.context["adminform"].form.non_field_errors()
    assert "otto changed this ad" in message
    assert "(content)" in message
    ad.refresh_from_db()
    assert (ad.title, ad.content) == ("Bubble tea club", "Theirs")
    # The page comes back with the newest version in it: saved again, it counts.
    again = {**opened, "base_version": response.context["adminform"].form["base_version"].value()}
    assert client_op.post(change_url(ad), again).status_code == 302
    ad.refresh_from_db()
    assert (ad.title, ad.content) == ("My new title", "Every tenth cup")


def test_a_closing_by_the_clock_is_no_conflict(client_op, make_ad):
    ad = make_ad(start=-2, end=-1)
    opened = form_data(ad, title="Ended, renamed")
    assert ads_close_ended(actor=Actor("expiry")) == 1
    assert client_op.post(change_url(ad), opened).status_code == 302
    ad.refresh_from_db()
    assert ad.title == "Ended, renamed"


def test_refuses_when_the_ad_moved_between_check_and_write(make_ad):
    ad = make_ad()
    form = AdForm(form_data(ad, title="My new title"), instance=ad)
    assert form.is_valid(), form.errors
    with pytest.raises(EditConflictError):
        form.merged(replace(fields_of(record_of(ad)), content="Theirs"))


def test_an_ad_deleted_meanwhile_is_said_so(client_op, make_ad):
    ad = make_ad()
    ad_delete(ad_id=ad.id, actor=Actor("otto"))
    response = client_op.post(change_url(ad), form_data(ad), follow=True)
    assert response.status_code == 200
    assert "doesn’t exist" in response.content.decode()


def test_times_are_read_in_the_zone_of_the_page(client_op, settings):
    with timezone.override("Asia/Taipei"):
        settings.TIME_ZONE = "Asia/Taipei"
        response = client_op.get(ADD)
        assert "Times are in Asia/Taipei" in response.content.decode()
        data = form_data(start_at="2030-01-01T18:00", end_at="2030-01-02T18:00:30")
        assert client_op.post(ADD, data).status_code == 302
    ad = Ad.objects.get()
    assert ad.start_at.isoformat() == "2030-01-01T10:00:00+00:00"
    assert ad.end_at.isoformat() == "2030-01-02T10:00:30+00:00"


def test_shows_how_the_ad_stands(client_op, make_ad, fill_index):
    ad = make_ad()
    fill_index()
    page = client_op.get(change_url(ad)).content.decode()
    assert "ah-badge-live" in page
    assert str(ad.id) in page
    assert "&quot;title&quot;: &quot;Bubble tea club&quot;" in page
    assert 'name="base_version" value="1"' in page


def test_a_viewer_sees_and_cannot_write(staff_with, make_ad):
    ad = make_ad(country=("TW",))
    client = staff_with("view_ad")
    page = client.get(change_url(ad))
    assert page.status_code == 200
    assert 'name="_save"' not in page.content.decode()
    assert client.post(change_url(ad), form_data(ad, title="Not mine")).status_code == 403
    assert client.get(ADD).status_code == 403
    assert AdChange.objects.count() == 1


def test_strangers_are_sent_to_the_login(client, make_ad):
    ad = make_ad()
    for url in (ADD, change_url(ad), "/admin/adserver/ad/"):
        response = client.get(url)
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/admin/login/")


def test_markup_in_an_ad_is_text(client_op, make_ad):
    ad = make_ad(title="<script>alert(1)</script>", content="</textarea><b>x")
    for url in (change_url(ad), "/admin/adserver/ad/", f"/admin/adserver/ad/{ad.id}/history/"):
        assert "<script>alert(1)" not in client_op.get(url).content.decode()


def test_a_time_that_does_not_exist_is_named(client_op):
    response = client_op.post(ADD, form_data(start_at="2030-02-31T10:00"))
    errors = response.context["adminform"].form.errors
    assert errors == {"start_at": ["must be a time such as 2026-01-31 18:00"]}


def test_an_ad_that_never_ends_is_borne_in_every_zone(client_op, make_ad, settings):
    ad = make_ad(end_at=datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
    settings.TIME_ZONE = "Asia/Taipei"
    with timezone.override("Asia/Taipei"):
        page = client_op.get(change_url(ad)).content.decode()
        assert 'value="9999-12-31T23:59:59"' in page
        for url in ("/admin/adserver/ad/", f"/admin/adserver/ad/bulk/extend/?id={ad.id}"):
            assert "31 Dec 9999 23:59" in client_op.get(url).content.decode()
        start_at = browser_time(timezone.localtime(ad.start_at))
        data = form_data(ad, title="For ever and ever", start_at=start_at)
        assert client_op.post(change_url(ad), data).status_code == 302
    before, after = ad, Ad.objects.get()
    assert (after.start_at, after.end_at) == (before.start_at, before.end_at)
    assert after.title == "For ever and ever"
