"""The first pages, the pages of mistakes, and that everything they need comes from here."""

import re

import pytest
from django.contrib.staticfiles import finders
from django.template.loader import render_to_string

from adserver.models import Ad

ADMIN_PAGES = (
    "/admin/",
    "/admin/adserver/ad/",
    "/admin/adserver/ad/add/",
    "/admin/adserver/ad/{pk}/change/",
    "/admin/adserver/ad/{pk}/history/",
    "/admin/adserver/ad/visitor/",
    "/admin/adserver/ad/import/",
    "/admin/adserver/ad/bulk/extend/?id={pk}",
    "/admin/adserver/adchange/",
    "/admin/accounts/user/",
    "/admin/accounts/user/add/",
    "/admin/accounts/user/token/",
    "/admin/auth/group/",
    "/admin/auth/group/add/",
    "/admin/password_change/",
)
# What a browser loads by itself: everything else is a link for people.
LOADED = re.compile(r'<(?:script|img|iframe)[^>]* src="([^"]*)|<link[^>]* href="([^"]*)')


def test_the_overview_counts(client_op, make_ad, django_assert_num_queries):
    make_ad("Live one")
    make_ad("Ends soon", end=0.5)
    make_ad("Scheduled one", start=1)
    make_ad("Ended one", start=-3, end=-1)
    client_op.get("/admin/")
    # Session, user, counts, ending, changes.
    with django_assert_num_queries(5):
        response = client_op.get("/admin/")
    counts = {"live": 2, "scheduled": 1, "ended": 1, "ending": 1}
    assert response.context["counts"] == counts
    assert [row["ad"].title for row in response.context["ending"]] == ["Ends soon"]
    assert response.context["changes"][0]["title"] == "Ended one"


def test_the_overview_shows_what_one_may_see(staff_with, make_ad):
    make_ad("Secret ad")
    assert "Secret ad" not in staff_with().get("/admin/").content.decode()
    assert "counts" not in staff_with("view_adchange").get("/admin/").context


@pytest.mark.parametrize("page", ADMIN_PAGES)
def test_every_page_loads_only_from_here(client_op, make_ad, page):
    ad: Ad = make_ad()
    response = client_op.get(page.format(pk=ad.pk))
    assert response.status_code == 200
    loaded = {"".join(urls) for urls in LOADED.findall(response.content.decode())}
    assert any(url.startswith("/static/adhouse/admin.css") for url in loaded)
    for url in loaded:
        assert url.startswith(("/static/", "/admin/jsi18n/")), url
        assert url == "/admin/jsi18n/" or finders.find(url.removeprefix("/static/")), url


def test_home_answers_without_a_store(client):
    response = client.get("/")
    assert response.status_code == 200
    for link in ("/admin/", "/api/v1/docs/", "/readyz", "/metrics"):
        assert f'href="{link}"' in response.content.decode()
    assert client.post("/").status_code == 405


def test_a_page_that_is_not_there(client):
    response = client.get("/nowhere", headers={"accept": "text/html,application/xhtml+xml"})
    assert response.status_code == 404
    assert "Nothing here" in response.content.decode()


@pytest.mark.parametrize("headers", [{}, {"accept": "*/*"}, {"accept": "application/json"}])
def test_nothing_for_programs(client, headers):
    response = client.get("/nowhere", headers=headers)
    assert (response.status_code, response.json()) == (404, {"msg": "path: there is nothing here"})


@pytest.mark.parametrize("status", [400, 403, "403_csrf", 404, 413, 500, 503])
def test_pages_of_mistakes_need_nothing_else(status):
    page = render_to_string(f"{status}.html")
    assert '<html lang="en">' in page
    assert not {
        url for urls in LOADED.findall(page) for url in urls if url[:5] not in ("", "data:")
    }
