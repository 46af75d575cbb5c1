"""The admin's login is no way around the lockout."""

import re

import pytest
from django.test import Client

from accounts.models import AuditEvent, Lockout, User

pytestmark = pytest.mark.django_db
URL, PASSWORD = "/admin/login/", "correct horse battery"


@pytest.fixture
def olga() -> User:
    return User.objects.create_superuser("Olga", password=PASSWORD)


def attempt(username: str, password: str) -> tuple[int, str]:
    answer = Client().post(URL, {"username": username, "password": password})
    return answer.status_code, answer.content.decode()


def test_logs_in_whatever_the_case(olga):
    assert attempt("OLGA", PASSWORD)[0] == 302
    event = AuditEvent.objects.get()
    assert (event.kind, event.username, event.detail) == ("login", "Olga", "admin")
    assert event.address == "127.0.0.1"


def test_failures_count_and_lock(olga, settings):
    settings.ACCOUNT_LOCKOUT_FAILURES = 3
    for _ in range(3):
        status, page = attempt("olga", "wrong password")
        assert status == 200
        assert "Too many" not in page
    status, page = attempt("olga", PASSWORD)
    assert status == 200
    assert re.search(r"Too many attempts failed. Try again in \d+ seconds.", page)
    assert Lockout.objects.get(kind="account").subject == "olga"
    kinds = list(AuditEvent.objects.order_by("id").values_list("kind", flat=True))
    assert kinds == ["failure", "failure", "failure", "lockout"]


def test_people_without_rights_are_turned_away(olga):
    User.objects.create_user("mia", password=PASSWORD)
    User.objects.create_superuser("gone", password=PASSWORD, is_active=False)
    for username in ("mia", "gone", "nobody"):
        status, page = attempt(username, PASSWORD)
        assert status == 200
        assert "There is no operator with this name and this password." in page
