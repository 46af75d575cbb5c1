"""The ads list: what it shows, what it finds, and what it costs."""

import pytest
from django.utils import timezone

from adserver.models import Ad
from adserver.samples import random_ads
from adserver.services import ads_import
from tests.admin.conftest import SEED

LIST = "/admin/adserver/ad/"


def titles(response) -> list[str]:
    return [ad.title for ad in response.context["cl"].result_list]


@pytest.fixture
def three(make_ad):
    make_ad("Live for all")
    make_ad("Scheduled in Japan", start=1, country=("JP",), platform=("ios",))
    make_ad("Ended for her", start=-3, end=-1, gender=("F",))


def test_shows_state_flight_and_targeting_newest_first(client_op, three, make_ad):
    make_ad("Narrow", age_start=18, age_end=35, country=("TW", "JP", "HK", "US"), platform=("web",))
    response = client_op.get(LIST)
    assert titles(response) == ["Narrow", "Ended for her", "Scheduled in Japan", "Live for all"]
    page = response.content.decode()
    for text in ("18–35 · TW, JP, HK +1 · web", "Everybody", "ends in 9 days", "ended 1 day ago"):
        assert text in page
    for state in ("live", "scheduled", "ended"):
        assert f'ah-badge-{state}">{state}<' in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=live", ["Live for all"]),
        ("state=scheduled", ["Scheduled in Japan"]),
        ("state=ended", ["Ended for her"]),
        ("country=TW", ["Ended for her", "Live for all"]),
        ("country=JP", ["Ended for her", "Scheduled in Japan", "Live for all"]),
        ("gender=M", ["Scheduled in Japan", "Live for all"]),
        ("platform=web", ["Ended for her", "Live for all"]),
        ("platform=web&state=live&country=TW", ["Live for all"]),
        ("q=japan", ["Scheduled in Japan"]),
        ("q=nowhere", []),
        ("country=nonsense", ["Ended for her", "Scheduled in Japan", "Live for all"]),
        ("o=3", ["Ended for her", "Live for all", "Scheduled in Japan"]),
    ],
)
def test_filters_and_search(client_op, three, query, found):
    response = client_op.get(f"{LIST}?{query}")
    assert response.status_code == 200
    assert sorted(titles(response)) == sorted(found)
    if query.startswith("o="):
        assert titles(response)[0] == "Ended for her"


def test_finds_an_ad_by_its_id(client_op, three):
    ad = Ad.objects.get(title="Live for all")
    assert titles(client_op.get(f"{LIST}?q=%20{ad.id}")) == ["Live for all"]


def test_the_number_of_queries_does_not_grow(client_op, django_assert_num_queries):
    ads_import(rows=list(random_ads(count=3, now=timezone.now())), actor=SEED)
    client_op.get(LIST)
    # Session, user, count, page.
    with django_assert_num_queries(4):
        client_op.get(LIST)
    ads_import(rows=list(random_ads(count=120, now=timezone.now())), actor=SEED)
    with django_assert_num_queries(4):
        response = client_op.get(f"{LIST}?country=TW&state=live")
    assert len(response.context["cl"].result_list) == 50


def test_counts_no_further_than_its_limit(client_op, monkeypatch):
    monkeypatch.setattr("commons.lists.COUNT_MAX", 60)
    ads_import(rows=list(random_ads(count=80, now=timezone.now())), actor=SEED)
    changelist = client_op.get(LIST).context["cl"]
    assert (changelist.result_count, changelist.paginator.num_pages) == (60, 2)


def test_a_broken_page_number_is_not_an_error_of_ours(client_op, three):
    for query in ("p=999999999999", "p=x", "o=zzz", "state=%00", "q=%00", "all=1"):
        assert client_op.get(f"{LIST}?{query}").status_code in (200, 302), query


@pytest.mark.parametrize("query", ["country__exact=XX", "country__contains=TW", "version=x"])
def test_a_filter_that_there_is_not_is_refused(client_op, three, query):
    assert client_op.get(f"{LIST}?{query}").status_code == 400


@pytest.mark.parametrize("chosen", ["x", "", "\0", "9" * 30])
@pytest.mark.parametrize(
    ("path", "action"),
    [
        ("adserver/ad", "end_now"),
        ("accounts/user", "log_out"),
        ("accounts/session", "end"),
        ("accounts/lockout", "unlock"),
        ("counters/deadletter", "replay"),
        ("auth/group", "delete_selected"),
    ],
)
def test_rows_that_there_cannot_be_are_not_chosen(client_op, three, path, action, chosen):
    url = f"/admin/{path}/"
    good = [str(Ad.objects.all()[0].pk)] if path == "adserver/ad" else []
    data = {"action": action, "_selected_action": [chosen, *good]}
    response = client_op.post(url, data, follow=True)
    assert response.redirect_chain == [(url, 302)]
    assert "What was chosen is in no list" in response.content.decode()


def test_needs_the_permission(staff_with):
    assert staff_with("add_ad").get(LIST).status_code == 403
    assert staff_with("view_ad").get(LIST).status_code == 200
