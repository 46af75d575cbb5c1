"""Services of people who are logged in: what they change, and what follows."""

from datetime import timedelta

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import make_password
from django.test import RequestFactory
from django.utils import timezone

from accounts import services
from accounts.errors import (
    BadCredentialsError,
    InvalidFieldError,
    LockedError,
    SessionNotFoundError,
)
from accounts.models import AuditEvent, Lockout, Session, User
from accounts.remembered import RememberedPasswords
from accounts.tasks import purge_records
from accounts.tokens import token_hash
from tests.accounts.conftest import PASSWORD, Clock, reopened

pytestmark = pytest.mark.django_db


def events() -> list[str]:
    return list(AuditEvent.objects.order_by("id").values_list("kind", flat=True))


def test_logging_out_ends_this_session_only(ann):
    one, two = (services.session_open(username="ann", password=PASSWORD) for _ in range(2))
    services.session_close(person=one.person)
    services.session_close(person=one.person)
    assert services.session_check(token=one.token) is None
    assert services.session_check(token=two.token) == two.person
    assert events() == ["register", "login", "login", "logout"]


def test_ending_a_session_that_is_not_ones_own(ann, person):
    services.user_register(username="bob", password=PASSWORD)
    bob = services.session_open(username="bob", password=PASSWORD).person
    with pytest.raises(SessionNotFoundError):
        services.session_end(person=bob, session_id=person.session_id)
    services.session_end(person=person, session_id=person.session_id)
    with pytest.raises(SessionNotFoundError):
        services.session_end(person=person, session_id=person.session_id)


def test_all_others_and_all(ann, person):
    for _ in range(3):
        services.session_open(username="ann", password=PASSWORD)
    assert services.sessions_close_others(person=person) == 3
    assert services.sessions_close_others(person=person) == 0
    assert services.sessions_close_all(user_id=ann.pk, actor="olga") == 1
    assert not Session.objects.filter(ended_at=None).exists()


def test_a_new_password_ends_the_others_and_the_old_password(ann, person):
    other = services.session_open(username="ann", password=PASSWORD)
    services.password_change(person=person, old=PASSWORD, new="another horse")
    assert services.session_check(token=other.token) is None
    assert Session.objects.get(ended_at=None).pk == person.session_id
    with pytest.raises(BadCredentialsError):
        services.session_open(username="ann", password=PASSWORD)
    assert services.session_open(username="ann", password="another horse")


def test_guesses_of_the_old_password_are_failed_logins(person):
    with pytest.raises(InvalidFieldError, match=r"^new: "):
        services.password_change(person=person, old="wrong horse", new="short")
    for _ in range(10):
        with pytest.raises(BadCredentialsError):
            services.password_change(person=person, old="wrong horse", new="another horse")
    with pytest.raises(LockedError):
        services.password_change(person=person, old=PASSWORD, new="another horse")


def test_a_session_is_reopened_only_with_its_password(ann, sessions):
    sessions.memory.trust()
    opened = services.session_open(username="ann", password=PASSWORD)
    assert reopened("ann") is None
    services.session_check(token=opened.token)
    assert reopened("ANN") == opened.token
    assert reopened("ann", "wrong horse") is None
    services.session_close(person=opened.person)


@pytest.mark.django_db(transaction=True)
def test_a_session_that_ended_is_not_reopened(ann, sessions):
    sessions.memory.trust()
    opened = services.session_open(username="ann", password=PASSWORD)
    services.session_check(token=opened.token)
    services.session_close(person=opened.person)
    assert reopened("ann") is None


@pytest.mark.django_db(transaction=True)
def test_redis_is_not_believed_about_what_was_before_a_change(ann, sessions):
    sessions.memory.trust()
    opened = services.session_open(username="ann", password=PASSWORD)
    digest = token_hash(opened.token)
    services.session_check(token=opened.token)
    before = sessions.redis.get([digest])
    assert list(before) == [digest]
    services.session_close(person=opened.person)
    sessions.heard(f"user {ann.pk}")
    # As somebody with a backup, or a bug, would, also over the mark of the change.
    sessions.redis._client.delete(f"accounts:session:{digest.hex()}")
    sessions.redis.put(before)
    assert sessions.redis.get([digest]) == before
    assert services.session_check(token=opened.token) is None


@pytest.fixture
def an_hour(sessions, monkeypatch):
    """Passwords are remembered for an hour by a clock that can be put forward."""
    clock = Clock()
    sessions.passwords = RememberedPasswords(seconds=3600, clock=clock)
    sessions.memory.trust()
    return clock


def test_a_login_is_renewed_by_a_hash_and_keeps_its_session(ann, sessions, an_hour):
    opened = services.session_open(username="ann", password=PASSWORD)
    services.session_check(token=opened.token)
    an_hour.now_s += 3000
    User.objects.filter(pk=ann.pk).update(nickname="Anna")
    services.session_renew(username="ANN", password=PASSWORD)
    login, entry = sessions.login_from_memory(key="ann", password=PASSWORD, address="")
    assert (login.token, sessions.passwords.left_s("ann", login)) == (opened.token, 3600)
    assert entry.person.nickname == "Anna"
    assert Session.objects.count() == 1


def test_a_login_is_not_renewed_with_a_password_that_is_another_now(ann, an_hour):
    opened = services.session_open(username="ann", password=PASSWORD)
    services.session_check(token=opened.token)
    User.objects.filter(pk=ann.pk).update(password=make_password("another horse"))
    an_hour.now_s += 3000
    with pytest.raises(BadCredentialsError):
        services.session_renew(username="ann", password=PASSWORD)
    an_hour.now_s += 600
    assert reopened("ann") is None


def test_the_admin_goes_by_the_same_rules(ann):
    request = RequestFactory().post("/admin/login/", REMOTE_ADDR="192.0.2.1")
    assert authenticate(request, username="ANN", password=PASSWORD) == ann
    for _ in range(10):
        assert authenticate(request, username="ann", password="wrong horse") is None
    with pytest.raises(LockedError):
        authenticate(request, username="ann", password=PASSWORD)
    assert Lockout.objects.get(kind="address").subject == "192.0.2.1"
    with pytest.raises(LockedError):
        services.session_open(username="ann", password=PASSWORD)


def test_what_is_old_is_purged_and_nothing_else(ann, person, settings):
    old = timezone.now() - timedelta(days=settings.ACCOUNT_AUDIT_DAYS, seconds=1)
    gone = services.session_open(username="ann", password=PASSWORD).person
    Session.objects.filter(pk=gone.session_id).update(ended_at=old)
    AuditEvent.objects.filter(kind="register").update(at=old)
    for subject, at in (("old", old), ("new", timezone.now())):
        Lockout.objects.create(kind="account", subject=subject, failures=1, last_failure_at=at)
    assert purge_records() == 3
    assert Session.objects.get().pk == person.session_id
    assert events() == ["login", "login"]
    assert Lockout.objects.get().subject == "new"
    assert purge_records() == 0


def test_names_are_unique_for_operators_too(ann):
    olga = User(username="ANN")
    with pytest.raises(Exception, match="already exists"):
        olga.full_clean(exclude=["password"])
    User.objects.filter(pk=ann.pk).update(nickname="")
    ann.username = "Bob"
    ann.save(update_fields=["username"])
    assert services.session_open(username="bob", password=PASSWORD)
