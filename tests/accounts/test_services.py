"""The first operator, who is made once and never brought back, and API tokens."""

import pytest
from django.core.management import call_command
from rest_framework.authtoken.models import Token

from accounts import services
from accounts.models import User
from config.operator_file import OPERATOR_FILE, operator_credentials

pytestmark = pytest.mark.django_db

CREDENTIALS = {"username": "operator", "password": "only-for-tests", "token": "0" * 40}


@pytest.fixture
def operator() -> User:
    assert services.operator_ensure(credentials=lambda: CREDENTIALS)
    return User.objects.get()


def ensure_again() -> None:
    assert not services.operator_ensure(credentials=lambda: CREDENTIALS)


def test_the_first_operator_may_do_everything_and_has_the_token(operator):
    assert operator.username == "operator"
    assert operator.check_password("only-for-tests")
    assert operator.is_staff
    assert operator.is_superuser
    assert operator.auth_token.key == CREDENTIALS["token"]


def test_people_who_registered_before_are_no_operators(db):
    services.user_register(username="ann", password="correct horse")
    assert services.operator_ensure(credentials=lambda: CREDENTIALS)


def test_nobody_s_name_is_taken_from_them(db):
    services.user_register(username="Operator", password="correct horse")
    ensure_again()
    assert not User.objects.get().is_staff


def test_a_password_that_was_changed_stays(operator):
    operator.set_password("another")
    operator.save()
    ensure_again()
    operator.refresh_from_db()
    assert operator.check_password("another")


def test_a_token_that_was_revoked_stays_revoked(operator):
    services.token_revoke(user=operator)
    ensure_again()
    assert not Token.objects.exists()


def test_a_token_that_was_replaced_stays(operator):
    key = services.token_rotate(user=operator)
    ensure_again()
    assert [token.key for token in Token.objects.all()] == [key]
    assert key != CREDENTIALS["token"]


def test_an_operator_who_was_renamed_is_not_made_again(operator):
    User.objects.update(username="alice")
    ensure_again()
    assert [user.username for user in User.objects.all()] == ["alice"]


def test_an_operator_who_was_deleted_is_not_made_again(operator):
    User.objects.create_superuser("alice", password="only-for-tests")
    operator.delete()
    ensure_again()
    assert [user.username for user in User.objects.all()] == ["alice"]


def test_prepare_writes_credentials_that_hold_and_can_be_repeated(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    call_command("prepare", verbosity=0)
    given = operator_credentials(tmp_path)
    assert User.objects.get(username=given["username"]).check_password(given["password"])
    assert Token.objects.get().key == given["token"]

    User.objects.update(username="alice")
    call_command("prepare", verbosity=0)
    assert operator_credentials(tmp_path) == given
    assert User.objects.count() == 1


def test_prepare_writes_no_credentials_that_open_nothing(monkeypatch, tmp_path):
    User.objects.create_superuser("alice", password="only-for-tests")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    call_command("prepare", verbosity=0)
    assert not (tmp_path / OPERATOR_FILE).exists()
