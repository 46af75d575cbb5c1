"""The account's pages as a browser without scripts sees them."""

import re
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts import services
from accounts.hashing import HashPool
from accounts.models import AuditEvent, Lockout, Session, User
from accounts.pages import guard
from runtime.errors import BusyError
from tests.accounts_pages.conftest import PASSWORD, register, send
from tests.accounts_pages.samples import opened, picture

pytestmark = pytest.mark.django_db
OWN = ("", "password/", "sessions/")


def text(answer: Any) -> str:
    return str(answer.content.decode())


def invalid_fields(answer: Any) -> list[str]:
    """The names of the fields that are marked as wrong."""
    inputs = re.findall(r"<input[^>]*aria-invalid=\"true\"[^>]*>", text(answer))
    return [re.search(r'name="(\w+)"', each)[1] for each in inputs]  # type: ignore[index]


def focused(answer: Any) -> list[str]:
    return re.findall(r'<input[^>]*name="(\w+)"[^>]*autofocus', text(answer))


@pytest.mark.parametrize("path", OWN)
def test_strangers_are_led_to_log_in_and_back(browser, path):
    answer = browser.get(f"/account/{path}")
    assert answer.status_code == 302
    login = answer.headers["Location"]
    register(Client(enforce_csrf_checks=True))
    answer = send(browser, login, username="Mia", password=PASSWORD)
    assert answer.headers["Location"] == f"/account/{path}"
    assert browser.get(f"/account/{path}").status_code == 200


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "\\\\evil"]
)
def test_nobody_is_led_elsewhere(mia, elsewhere):
    assert mia.get("/account/login/", {"next": elsewhere}).headers["Location"] == "/account/"


def test_every_page_runs_nothing_but_our_own(mia):
    stranger = Client()
    pages = [mia.get(f"/account/{path}") for path in OWN]
    pages += [stranger.get(f"/account/{path}/") for path in ("login", "register")]
    for answer in pages:
        assert answer.status_code == 200
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "no-store" in answer.headers["Cache-Control"]
        assert answer.headers["X-Frame-Options"] == "DENY"
        # Nothing that the policy would keep from working.
        assert not re.search(r"<style|\sstyle=|<script(?! src)|\son\w+=|https?://", text(answer))


def test_the_cookie_is_for_these_pages_and_no_script(mia, settings):
    cookie = mia.cookies["account"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    settings.SESSION_COOKIE_SECURE = True
    browser = Client()
    browser.post("/account/login/", {"username": "mia", "password": PASSWORD})
    assert browser.cookies["__Host-account"]["secure"]
    assert browser.cookies["__Host-account"]["path"] == "/"
    assert not browser.cookies["__Host-account"]["domain"]


def test_the_cookie_opens_nothing_of_the_api(mia):
    assert mia.get("/api/v1/users/me").status_code in (401, 404)


@pytest.mark.parametrize("path", ["", "picture/", "password/", "sessions/end-others/", "logout/"])
def test_no_form_is_accepted_from_elsewhere(mia, path):
    assert mia.post(f"/account/{path}", {"nickname": "evil"}).status_code == 403
    assert User.objects.get().nickname == ""


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("picture/", "/account/"),
        ("logout/", "/account/"),
        ("sessions/end-others/", "/account/sessions/"),
        (f"sessions/{UUID(int=7)}/end/", "/account/sessions/"),
    ],
)
def test_what_a_form_is_sent_to_leads_back_to_it(mia, path, form):
    assert mia.get(f"/account/{path}").headers["Location"] == form
    assert mia.get("/account/").status_code == 200
    assert mia.put(f"/account/{path}").status_code in (403, 405)


def test_registering_says_what_is_wrong_beside_the_field(browser):
    answer = send(browser, "/account/register/", username="", nickname="", password="")
    assert answer.status_code == 400
    assert invalid_fields(answer) == ["username", "password"]
    assert focused(answer) == ["username"]
    assert "<title>Mistake: Register" in text(answer)

    answer = send(
        browser, "/account/register/", username="m\x07", nickname="n" * 31, password="short"
    )
    assert invalid_fields(answer) == ["username", "nickname", "password"]
    assert focused(answer) == ["username"]
    answer = send(browser, "/account/register/", username="mia", nickname="n", password="short")
    assert invalid_fields(answer) == focused(answer) == ["password"]
    assert "Must have 8 to 128 characters." in text(answer)
    assert 'value="mia"' in text(answer)
    assert "short" not in text(answer)
    answer = send(
        browser, "/account/register/", username="mia", nickname="n" * 31, password=PASSWORD
    )
    assert invalid_fields(answer) == ["nickname"]
    assert not User.objects.exists()


def test_a_taken_name_is_said_beside_it(mia):
    stranger = Client()
    answer = stranger.post("/account/register/", {"username": "MIA", "password": PASSWORD})
    assert answer.status_code == 409
    assert invalid_fields(answer) == ["username"]


def test_a_wrong_password_and_an_unknown_name_read_alike(mia):
    pages = [
        text(Client().post("/account/login/", {"username": "mia", "password": password}))
        for password in ("wrong password", "")
    ]
    unknown = text(Client().post("/account/login/", {"username": "mia2", "password": "wrong"}))
    assert "There is no account with this name and this password." in pages[0]
    token = r'name="csrfmiddlewaretoken" value="\w+"'
    assert re.sub(token, "", pages[0]) == re.sub(token, "", unknown).replace("mia2", "mia")
    assert "no account" not in pages[1]


def test_a_lockout_says_how_long(mia, settings):
    settings.ACCOUNT_LOCKOUT_FAILURES = 2
    stranger = Client()
    for _ in range(2):
        stranger.post("/account/login/", {"username": "mia", "password": "wrong password"})
    answer = stranger.post("/account/login/", {"username": "mia", "password": PASSWORD})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert re.search(r"Too many attempts failed. Try again in \d+ seconds.", text(answer))
    assert Lockout.objects.filter(kind="account", subject="mia").exists()


def test_when_too_many_log_in_the_form_says_so(mia, monkeypatch):
    def busy(*args: object, **kwargs: object) -> None:
        raise BusyError("login: too many")

    monkeypatch.setattr(HashPool, "place", busy)
    answer = Client().post("/account/login/", {"username": "mia", "password": PASSWORD})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert "Try again in a moment." in text(answer)


@pytest.mark.parametrize("path", ["", "picture/", "password/"])
def test_who_is_deleted_meanwhile_is_led_to_log_in(mia, path, monkeypatch):
    person = services.session_check(token=mia.cookies["account"].value)
    assert person is not None
    monkeypatch.setattr(guard, "session_check", lambda token: person)
    services.users_delete(user_ids=[person.user_id], actor="olga")
    data = {"nickname": "x", "remove": "yes", "old": PASSWORD, "new": f"{PASSWORD}!"}
    answer = send(mia, f"/account/{path}", **data)
    if path == "password/":
        assert answer.status_code == 400
        assert "This is not your current password." in text(answer)
    else:
        assert answer.status_code == 302
        assert answer.headers["Location"] == "/account/login/"
        assert answer.cookies["account"].value == ""


def test_who_registers_from_a_locked_address_has_an_account(browser, settings):
    settings.ACCOUNT_LOCKOUT_ADDRESS_FAILURES = 1
    send(browser, "/account/login/", username="nobody", password="wrong password")
    answer = send(browser, "/account/register/", username="new", nickname="", password=PASSWORD)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/account/login/")
    assert User.objects.get().username == "new"
    page = text(browser.get("/account/login/"))
    assert re.search(r"Your account is made. Log in to it in \d+ seconds.", page)


def test_changes_the_nickname(mia):
    answer = send(mia, "/account/", nickname="x" * 31)
    assert answer.status_code == 400
    assert invalid_fields(answer) == focused(answer) == ["nickname"]
    assert send(mia, "/account/", nickname=" Mía <b> ").headers["Location"] == "/account/"
    page = text(mia.get("/account/"))
    assert "<h1>Mía &lt;b&gt;</h1>" in page
    assert "Your nickname is saved." in page


def upload(data: bytes, name: str = "face.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data)


def kept(directory: Path) -> list[str]:
    return [file.name for file in directory.rglob("*") if file.is_file()]


def test_changes_and_removes_the_picture(mia, directory, django_capture_on_commit_callbacks):
    committed = partial(django_capture_on_commit_callbacks, execute=True)
    for kind in ("PNG", "JPEG"):
        with committed():
            answer = send(mia, "/account/picture/", image=upload(picture(kind)))
        assert answer.status_code == 302
        # The one before it is gone.
        assert kept(directory) == [User.objects.get().image]
    (url,) = re.findall(r'<img class="face" src="([^"]+)"', text(mia.get("/account/")))
    assert opened(mia.get(url).content).size == (64, 48)
    with committed():
        assert send(mia, "/account/picture/", remove="yes").status_code == 302
    assert kept(directory) == []
    assert 'class="face initial"' in text(mia.get("/account/"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<svg/>", "Must be a PNG, JPEG or WebP picture."),
        (bytes(2 * 1024 * 1024 + 1), "Must be at most 2 MiB."),
        (picture(size=(300, 300))[:-900], "Is torn"),
        (b"", "empty"),
    ],
)
def test_a_refused_picture_changes_nothing(mia, directory, data, words):
    send(mia, "/account/picture/", image=upload(picture()))
    before = kept(directory)
    answer = send(mia, "/account/picture/", image=upload(data))
    assert answer.status_code == 400
    assert words in text(answer)
    assert invalid_fields(answer) == focused(answer) == ["image"]
    assert kept(directory) == before == [User.objects.get().image]


def test_a_picture_that_cannot_be_kept_is_no_loss(mia, directory):
    directory.write_text("a file where the directory should be")
    answer = send(mia, "/account/picture/", image=upload(picture()))
    assert answer.status_code == 503
    assert "nothing was done" in text(answer)
    assert User.objects.get().image == ""


def test_a_new_password_logs_all_other_devices_out(mia):
    other = Client()
    other.post("/account/login/", {"username": "mia", "password": PASSWORD})
    answer = send(mia, "/account/password/", old="not this one", new="another password")
    assert invalid_fields(answer) == focused(answer) == ["old"]
    answer = send(mia, "/account/password/", old=PASSWORD, new="short")
    assert invalid_fields(answer) == ["new"]
    assert other.get("/account/").status_code == 200
    assert send(mia, "/account/password/", old=PASSWORD, new="another password").status_code == 302
    assert mia.get("/account/").status_code == 200
    assert other.get("/account/").status_code == 302
    assert "account" not in other.cookies or not other.cookies["account"].value


def test_lists_devices_and_logs_one_out(mia):
    other = Client(headers={"user-agent": "okhttp/4.12.0"})
    other.post("/account/login/", {"username": "mia", "password": PASSWORD})
    third = Client()
    third.post("/account/login/", {"username": "mia", "password": PASSWORD})
    page = text(mia.get("/account/sessions/"))
    assert page.index("Firefox") < page.index("okhttp/4.12.0")
    assert page.count("Log out this device") == 2
    assert page.count("This device") == 1
    session = Session.objects.get(device="okhttp/4.12.0")
    assert send(mia, f"/account/sessions/{session.pk}/end/").status_code == 302
    assert "The device is logged out." in text(mia.get("/account/sessions/"))
    assert other.get("/account/").status_code == 302
    assert third.get("/account/").status_code == 200
    send(mia, f"/account/sessions/{session.pk}/end/")
    assert "logged out already" in text(mia.get("/account/sessions/"))
    send(mia, "/account/sessions/end-others/")
    assert third.get("/account/").status_code == 302
    assert mia.get("/account/").status_code == 200


def test_nobody_logs_anothers_device_out(mia):
    ida = Client(enforce_csrf_checks=True)
    register(ida, "ida")
    session = Session.objects.get(user__username="ida")
    send(mia, f"/account/sessions/{session.pk}/end/")
    assert ida.get("/account/").status_code == 200


def test_logging_out_ends_the_session_everywhere(mia):
    token = mia.cookies["account"].value
    answer = send(mia, "/account/logout/")
    assert answer.headers["Location"] == "/account/login/"
    assert services.session_check(token=token) is None
    assert "You are logged out." in text(mia.get("/account/login/"))
    assert AuditEvent.objects.filter(kind="logout").exists()


def test_the_front_page_leads_here():
    assert 'href="/account/"' in text(Client().get("/"))
