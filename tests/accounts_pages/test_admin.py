"""What operators see of people, and what they can do for them."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent, Lockout, Session, User
from accounts.pictures import picture_store
from commons.words import moment_words
from tests.accounts_pages.samples import picture

USERS, SESSIONS = "/admin/accounts/user/", "/admin/accounts/session/"
LOCKOUTS, LOG = "/admin/accounts/lockout/", "/admin/accounts/auditevent/"


@pytest.fixture
def olga(db: None) -> Client:
    """A superuser's browser."""
    client = Client()
    client.force_login(User.objects.create_superuser("olga"))
    return client


@pytest.fixture
def maria(db: None) -> User:
    return User.objects.create_user("María", nickname="Mia")


def make_session(user: User, token: bytes, **given: Any) -> Session:
    now = timezone.now()
    fields = {
        "device": "curl/8.5.0",
        "address": "192.0.2.7",
        "created_at": now,
        "last_used_at": now,
        "expires_at": now + timedelta(days=30),
    }
    return Session.objects.create(user=user, token_hash=token, **{**fields, **given})


def _permission(codename: str) -> Permission:
    return Permission.objects.get(content_type__app_label="accounts", codename=codename)


def text(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def test_finds_people_by_the_beginning_of_their_name(olga, maria):
    assert "Mia" in text(olga, f"{USERS}?q=MARÍ")
    assert "Mia" not in text(olga, f"{USERS}?q=aría")
    page = text(olga, f"{USERS}{maria.pk}/change/")
    assert 'value="Mia"' in page
    assert "ah-face" not in page


def test_says_when_somebody_last_logged_in(olga, maria):
    since = timezone.now() - timedelta(days=3)
    assert "never" in text(olga, f"{USERS}?q=mar")
    make_session(maria, b"a", created_at=since)
    page = text(olga, f"{USERS}?q=mar")
    assert "never" not in page
    assert moment_words(since, none="") in page


def test_shows_a_persons_picture(olga, maria):
    User.objects.filter(pk=maria.pk).update(image="0" * 32 + ".webp")
    assert f'src="/pictures/{"0" * 32}.webp"' in text(olga, f"{USERS}{maria.pk}/change/")


def test_lists_sessions_and_their_state(olga, maria):
    now = timezone.now()
    make_session(maria, b"a", device="live one")
    make_session(maria, b"b", device="ended one", ended_at=now)
    make_session(maria, b"c", device="old one", expires_at=now - timedelta(days=1))
    page = text(olga, SESSIONS)
    for words in ("live one", "ended one", "old one", "Live", "Ended", "Expired", "192.0.2.7"):
        assert words in page
    live = text(olga, f"{SESSIONS}?state=live")
    assert "live one" in live
    assert "ended one" not in live
    assert "old one" not in live
    assert "live one" in text(olga, f"{SESSIONS}?q=mar")
    assert "live one" not in text(olga, f"{SESSIONS}?q=otto")


def test_the_ways_from_a_person_to_sessions_and_log(olga, maria):
    otto = User.objects.create_user("otto")
    make_session(maria, b"a", device="hers")
    make_session(otto, b"b", device="his")
    for page, model in (("to-sessions", "session"), ("to-log", "auditevent")):
        response = olga.get(f"{USERS}{maria.pk}/{page}/")
        assert response.status_code == 302
        assert response.url == f"/admin/accounts/{model}/?user={maria.pk}"
    page = text(olga, f"{SESSIONS}?user={maria.pk}")
    assert "hers" in page
    assert "his" not in page.replace("history", "").replace("this", "")


def test_lists_lockouts(olga):
    now = timezone.now()
    later = now + timedelta(minutes=5)
    for subject, failures, until in (
        ("maría", 10, later),
        ("ingrid", 3, None),
        ("ludwig", 0, None),
    ):
        Lockout.objects.create(
            kind="account",
            subject=subject,
            failures=failures,
            last_failure_at=now,
            locked_until=until,
        )
    page = text(olga, LOCKOUTS)
    assert "maría" in page
    assert "ludwig" not in page
    assert "maría" in text(olga, f"{LOCKOUTS}?state=locked")
    assert "ingrid" not in text(olga, f"{LOCKOUTS}?state=locked")
    assert "ingrid" in text(olga, f"{LOCKOUTS}?state=counted")
    assert "maría" in text(olga, f"{LOCKOUTS}?q=MARÍA")


def test_lists_what_happened(olga, maria):
    now = timezone.now()
    for kind, user, name in (("login", maria, "María"), ("failure", None, "nobody")):
        AuditEvent.objects.create(at=now, kind=kind, user=user, username=name, address="192.0.2.7")
    page = text(olga, LOG)
    assert "logged in" in page
    assert "failed to log in" in page
    assert "nobody" not in text(olga, f"{LOG}?kind=login")
    assert "nobody" in text(olga, f"{LOG}?kind=%00")
    assert "nobody" in text(olga, f"{LOG}?q=nobody")
    assert "nobody" not in text(olga, f"{LOG}?q=maría")
    assert "nobody" in text(olga, f"{LOG}?q=192.0.2.7")


@pytest.mark.parametrize("url", [SESSIONS, LOCKOUTS, LOG])
def test_nobody_writes_them_by_hand(olga, maria, url):
    assert olga.get(f"{url}add/").status_code == 403
    session = make_session(maria, b"a")
    assert olga.post(f"{SESSIONS}{session.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Session.objects.exists()


@pytest.mark.parametrize("url", [SESSIONS, LOCKOUTS, LOG])
def test_only_who_may_see_them_sees_them(db, url):
    otto = User.objects.create_user("otto", is_staff=True)
    client = Client()
    client.force_login(otto)
    assert client.get(url).status_code == 403
    model = url.split("/")[-2]
    otto.user_permissions.add(_permission(f"view_{model}"))
    assert client.get(url).status_code == 200


@pytest.mark.parametrize("url", [USERS, SESSIONS, LOCKOUTS, LOG])
def test_the_lists_queries_do_not_grow(olga, url, django_assert_max_num_queries):
    now = timezone.now()
    for number in range(10):
        user = User.objects.create_user(f"user{number}")
        make_session(user, bytes([number]))
        AuditEvent.objects.create(at=now, kind="login", user=user, username=user.username)
        Lockout.objects.create(
            kind="account", subject=user.username, failures=1, last_failure_at=now
        )
    olga.get(url)
    with django_assert_max_num_queries(6):
        olga.get(url)


def act(client: Client, url: str, action: str, *ids: Any) -> None:
    answer = client.post(url, {"action": action, "_selected_action": [str(each) for each in ids]})
    assert answer.status_code == 302, answer.content


def is_live(session: Session) -> bool:
    session.refresh_from_db()
    return session.ended_at is None


def test_ends_chosen_sessions(olga, maria):
    mine, kept = make_session(maria, b"a"), make_session(maria, b"b")
    act(olga, SESSIONS, "end", mine.pk)
    assert (is_live(mine), is_live(kept)) == (False, True)
    assert AuditEvent.objects.get(kind="logout").detail == "1 sessions, by olga"
    assert "1 device logged out." in text(olga, SESSIONS)


def test_ends_all_sessions_of_chosen_people(olga, maria):
    hers, his = make_session(maria, b"a"), make_session(User.objects.create_user("otto"), b"b")
    act(olga, USERS, "log_out", maria.pk)
    assert (is_live(hers), is_live(his)) == (False, True)


def test_who_only_looks_ends_nothing(maria):
    otto = User.objects.create_user("otto", is_staff=True)
    otto.user_permissions.add(_permission("view_session"), _permission("view_lockout"))
    client = Client()
    client.force_login(otto)
    session = make_session(maria, b"a")
    client.post(SESSIONS, {"action": "end", "_selected_action": [str(session.pk)]})
    assert is_live(session)


def test_unlocks(olga):
    now = timezone.now()
    row = Lockout.objects.create(
        kind="account",
        subject="maría",
        failures=10,
        last_failure_at=now,
        locked_until=now + timedelta(minutes=5),
    )
    act(olga, LOCKOUTS, "unlock", row.pk)
    assert not Lockout.objects.filter(locked_until__gt=now).exists()
    event = AuditEvent.objects.get(kind="unlock")
    assert (event.username, event.detail) == ("maría", "by olga")


def test_removes_pictures(olga, maria, directory, django_capture_on_commit_callbacks):
    User.objects.filter(pk=maria.pk).update(image=picture_store(data=picture()))
    with django_capture_on_commit_callbacks(execute=True):
        act(olga, USERS, "remove_pictures", maria.pk)
    maria.refresh_from_db()
    assert maria.image == ""
    assert not [file for file in directory.rglob("*") if file.is_file()]


def edit(client: Client, user: User, **changed: Any) -> None:
    data = {"username": user.username, "nickname": user.nickname, "is_active": "on", **changed}
    data = {name: value for name, value in data.items() if value is not None}
    answer = client.post(f"{USERS}{user.pk}/change/", data)
    assert answer.status_code == 302, answer.context["errors"]


def test_what_is_edited_is_announced(olga, maria):
    session = make_session(maria, b"a")
    edit(olga, maria, nickname="Mimi")
    session.refresh_from_db()
    # What every process's memory goes by.
    assert session.changed_at is not None
    assert is_live(session)


def test_who_may_no_longer_log_in_is_logged_out(olga, maria):
    session = make_session(maria, b"a")
    edit(olga, maria, is_active=None)
    assert not is_live(session)


def test_a_password_set_by_an_operator_logs_all_devices_out(olga, maria):
    session = make_session(maria, b"a")
    secret = {"password1": "another-secret-7", "usable_password": "true"}
    url = f"{USERS}{maria.pk}/password/"
    olga.post(url, {**secret, "password2": "something-else-7"})
    assert is_live(session)
    answer = olga.post(url, {**secret, "password2": "another-secret-7", "set-password": "1"})
    assert answer.status_code == 302
    maria.refresh_from_db()
    assert maria.check_password("another-secret-7")
    assert not is_live(session)


def test_deletes_people_with_all_that_is_theirs(
    olga, maria, directory, django_capture_on_commit_callbacks
):
    User.objects.filter(pk=maria.pk).update(image=picture_store(data=picture()))
    make_session(maria, b"a")
    url = f"{USERS}{maria.pk}/delete/"
    assert "Yes, I’m sure" in text(olga, url)
    with django_capture_on_commit_callbacks(execute=True):
        assert olga.post(url, {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=maria.pk).exists()
    assert not [file for file in directory.rglob("*") if file.is_file()]


def test_ones_own_new_password_in_the_admin_logs_all_devices_out(olga):
    user = User.objects.get(username="olga")
    user.set_password("correct horse battery")
    user.save()
    olga.force_login(user)
    session = make_session(user, b"a")
    new = {"new_password1": "another-secret-7", "new_password2": "another-secret-7"}
    olga.post("/admin/password_change/", {"old_password": "not this one", **new})
    assert is_live(session)
    data = {"old_password": "correct horse battery", **new}
    assert olga.post("/admin/password_change/", data).status_code == 302
    assert not is_live(session)


def test_writing_a_user_otherwise_ends_nothing(maria):
    session = make_session(maria, b"a")
    maria.nickname = "Mimi"
    maria.save()
    assert is_live(session)
