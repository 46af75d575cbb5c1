"""Users, groups and API tokens."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from rest_framework.authtoken.models import Token

from accounts.models import User
from accounts.operators import OPERATORS_GROUP, operators_group_ensure

OWN = "/admin/accounts/user/token/"


def of(user: User) -> str:
    return f"/admin/accounts/user/{user.pk}/token/"


def test_sees_and_replaces_the_own_token(client_op, operator):
    assert "There is none yet" in client_op.get(OWN).content.decode()
    assert client_op.post(OWN, {"rotate": "yes"}).status_code == 302
    first = Token.objects.get(user=operator).key
    assert first in client_op.get(OWN).content.decode()
    client_op.post(OWN, {"rotate": "yes"})
    second = Token.objects.get(user=operator).key
    assert second != first
    assert client_op.post(OWN, {"revoke": "yes"}).status_code == 302
    assert not Token.objects.exists()


def test_an_old_token_stops_working(client_op, operator):
    client_op.post(OWN, {"rotate": "yes"})
    old = Token.objects.get(user=operator).key
    client = Client(headers={"authorization": f"Token {old}"})
    assert client.get("/api/v1/ads/").status_code == 200
    client_op.post(OWN, {"rotate": "yes"})
    assert client.get("/api/v1/ads/").status_code == 401


def test_a_superuser_replaces_anothers_without_having_seen_it(client_op, db):
    other = User.objects.create_user("otto", is_staff=True)
    Token.objects.create(user=other, key="0123456789abcdef")
    assert "0123456789abcdef" not in client_op.get(of(other)).content.decode()
    client_op.post(of(other), {"rotate": "yes"})
    assert Token.objects.get(user=other).key != "0123456789abcdef"


def test_nobody_else_touches_anothers_token(staff_with, operator):
    client = staff_with("change_user", "view_user")
    for response in (client.get(of(operator)), client.post(of(operator), {"rotate": "yes"})):
        assert response.status_code == 403
    assert not Token.objects.exists()


def test_the_frameworks_token_page_is_gone(client_op):
    assert client_op.get("/admin/authtoken/tokenproxy/").status_code == 404


def test_the_last_login_is_written_as_all_times_are(client_op, operator):
    operator.last_login = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    operator.save()
    User.objects.create_user("otto")
    page = client_op.get("/admin/accounts/user/").content.decode()
    assert "2 Jan 2026 03:04" in page
    assert "never" in page


NEW = {
    "username": "otto",
    "usable_password": "true",
    "password1": "secret-enough-7",
    "password2": "secret-enough-7",
}


def test_makes_and_changes_users(client_op):
    response = client_op.post("/admin/accounts/user/add/", NEW)
    assert response.status_code == 302, response.context["errors"]
    user = User.objects.get(username="otto")
    assert user.check_password("secret-enough-7")
    page = client_op.get(f"/admin/accounts/user/{user.pk}/change/")
    assert page.status_code == 200
    assert "secret-enough" not in page.content.decode()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"username": "ANN"}, "A user with that username already exists."),
        ({"username": "Ann"}, "already exists."),
        ({"username": "\uff21nn"}, "already exists."),
        ({"username": "x" * 31}, "Must have 1 to 30 characters."),
        ({"username": "a\u202eb"}, "Must not"),
        ({"password1": "p" * 129, "password2": "p" * 129}, "8 to 128 characters"),
        ({"password1": "short-7", "password2": "short-7"}, "8 to 128 characters"),
    ],
)
def test_the_rules_of_the_api_hold(client_op, changes, word):
    User.objects.create_user("Ann")
    before = User.objects.count()
    response = client_op.post("/admin/accounts/user/add/", {**NEW, **changes})
    assert response.status_code == 200
    assert word in response.content.decode()
    assert User.objects.count() == before


def test_a_name_from_before_the_rules_may_stay(client_op):
    user = User.objects.create_user("x" * 31)
    url = f"/admin/accounts/user/{user.pk}/change/"
    data = {"username": user.username, "first_name": "Xaver", "is_active": "on"}
    response = client_op.post(url, data)
    assert response.status_code == 302, response.context["errors"]
    user.refresh_from_db()
    assert user.first_name == "Xaver"
    assert client_op.post(url, {**data, "username": "y" * 31}).status_code == 200


def test_the_lists_queries_do_not_grow(client_op, django_assert_num_queries):
    url = "/admin/accounts/user/"
    client_op.get(url)
    with django_assert_num_queries(5) as before:
        client_op.get(url)
    for number in range(10):
        User.objects.create_user(f"user{number}")
    with django_assert_num_queries(len(before)):
        client_op.get(url)


@pytest.fixture
def otto(db: None) -> Client:
    operators_group_ensure()
    user = User.objects.create_user("otto", is_staff=True)
    user.groups.add(Group.objects.get(name=OPERATORS_GROUP))
    client = Client()
    client.force_login(user)
    return client


def test_the_operators_group_is_all_about_ads_and_nothing_about_people(otto):
    for page in ("ad/", "ad/add/", "ad/import/", "ad/visitor/", "adchange/"):
        assert otto.get(f"/admin/adserver/{page}").status_code == 200, page
    for page in ("counters/counter/", "counters/deadletter/", "timeseries/tag/"):
        assert otto.get(f"/admin/{page}").status_code == 200, page
    assert otto.get("/admin/accounts/user/").status_code == 403
    assert otto.get("/admin/auth/group/").status_code == 403
    assert otto.get(OWN).status_code == 200
    assert "Users" not in otto.get("/admin/").content.decode()


def test_a_group_that_was_changed_stays_changed(db):
    operators_group_ensure()
    group = Group.objects.get(name=OPERATORS_GROUP)
    assert group.permissions.count() == 8
    group.permissions.clear()
    operators_group_ensure()
    assert group.permissions.count() == 0
