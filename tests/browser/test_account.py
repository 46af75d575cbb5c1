"""Somebody who makes an account on a phone: every page, with mistakes, and how each looks."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.accounts_pages.samples import picture
from tests.browser.conftest import NewPage
from tests.browser.test_screenshots import picture as screenshot

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("stack")]
PASSWORD = "correct horse battery"
PHONE, DESK = 390, 1280
See = Callable[[str], None]


def problems(page: Page) -> list[str]:
    """What axe-core finds wrong for people who cannot see the page, or not well."""
    found = Axe().run(page).response["violations"]
    return [
        f"{page.url} {each['id']} ({each['impact']}): {node['html'][:120]}"
        for each in found
        for node in each["nodes"]
    ]


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def mistake_at(field: Locator, text: str) -> None:
    """The words stand beside the field, are read out with it, and the cursor is in it."""
    expect(field).to_have_accessible_description(text, ignore_case=True)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()


@pytest.fixture
def username() -> str:
    return f"Mia-{uuid4().hex[:12]}"


def register(page: Page, username: str, nickname: str = "") -> None:
    page.goto("/account/register/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Nickname").fill(nickname)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    press(page, "Register")
    expect(page).to_have_url("/account/")


def look(page: Page, screenshots: Path | None, name: str) -> None:
    """Look at the page in all four ways, and have it judged: every page dark and on a phone, and
    those with most on them light and on a desk as well.
    """
    judged = [(PHONE, "dark")]
    if "mistake" in name or name in ("profile", "devices"):
        judged.append((DESK, "light"))
    for scheme in ("light", "dark"):
        # Colours that are still on their way would be judged as they are.
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for width in (DESK, PHONE) if scheme == "light" else (PHONE, DESK):
            page.set_viewport_size({"width": width, "height": 900})
            screenshot(page, screenshots, f"account-{name}-{width}-{scheme}")
            if (width, scheme) in judged:
                assert problems(page) == []
    page.set_viewport_size({"width": PHONE, "height": 900})


def test_every_page_with_mistakes(
    new_page: NewPage, screenshots: Path | None, tmp_path: Path, username: str
) -> None:
    page = new_page(logged_in=False, width=PHONE)
    see = partial(look, page, screenshots)

    _registers(page, see, username)
    _changes_the_profile(page, see, tmp_path)
    _changes_the_password(page, see)
    _logs_a_device_out(page, new_page, see, username)
    _logs_in_again(page, see, username)


def _registers(page: Page, see: See, username: str) -> None:
    page.goto("/account/")
    expect(page).to_have_title("Log in | Ad house")
    see("login")
    page.get_by_role("main").get_by_role("link", name="Register").click()
    see("register")
    name = page.get_by_label("Username")
    press(page, "Register")
    mistake_at(name, "1 to 30 characters. Capitals make no difference. Fill this in.")
    name.fill("x" * 31)
    page.get_by_label("Password", exact=True).fill("short")
    press(page, "Register")
    see("register-mistake")
    mistake_at(
        name, "1 to 30 characters. Capitals make no difference. Must have 1 to 30 characters."
    )
    expect(name).to_have_value("x" * 31)
    name.fill(username)
    page.get_by_label("Password", exact=True).fill("short")
    press(page, "Register")
    mistake_at(
        page.get_by_label("Password", exact=True),
        "8 to 128 characters. Must have 8 to 128 characters.",
    )
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    press(page, "Register")
    expect(page.get_by_role("heading", level=1)).to_have_text(username)
    see("profile-new")


def _changes_the_profile(page: Page, see: See, tmp_path: Path) -> None:
    nickname = page.get_by_role("textbox", name="What others see")
    nickname.fill("y" * 31)
    press(page, "Save the nickname")
    expect(nickname).to_have_attribute("aria-invalid", "true")
    expect(nickname).to_be_focused()
    see("nickname-mistake")
    nickname.fill("Mía 👩‍🚀")
    press(page, "Save the nickname")
    expect(page.get_by_role("status")).to_have_text("Your nickname is saved.")
    expect(page.get_by_role("heading", level=1)).to_have_text("Mía 👩‍🚀")

    file = page.get_by_label("A picture from this device")
    press(page, "Save the picture")
    expect(file).to_be_focused()
    expect(page.get_by_text("Choose a picture.")).to_be_visible()
    (tmp_path / "face.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    file.set_input_files(tmp_path / "face.svg")
    press(page, "Save the picture")
    expect(page.get_by_text("Must be a PNG, JPEG or WebP picture.")).to_be_visible()
    see("picture-mistake")
    (tmp_path / "big.png").write_bytes(bytes(2 * 1024 * 1024 + 1))
    file.set_input_files(tmp_path / "big.png")
    mistake_at_file = page.get_by_text("big.png is too large: 2 MiB are the most.")
    expect(mistake_at_file).to_be_visible()
    press(page, "Save the picture")
    expect(mistake_at_file).to_be_visible()
    expect(file).to_be_focused()
    see("picture-too-large")
    (tmp_path / "face.jpg").write_bytes(picture("JPEG", size=(900, 600)))
    file.set_input_files(tmp_path / "face.jpg")
    expect(mistake_at_file).to_have_count(0)
    expect(page.get_by_role("img", name="The picture you chose")).to_be_visible()
    see("picture-chosen")
    press(page, "Save the picture")
    face = page.get_by_role("img", name="Your picture")
    expect(face).to_be_visible()
    assert face.evaluate("face => face.complete && face.naturalWidth") == 512
    see("profile")
    press(page, "Remove the picture")
    expect(face).to_have_count(0)


def _changes_the_password(page: Page, see: See) -> None:
    page.get_by_role("link", name="Password").click()
    see("password")
    old = page.get_by_label("Current password", exact=True)
    new = page.get_by_label("New password", exact=True)
    old.fill("not my password")
    new.fill(f"{PASSWORD}!")
    press(page, "Change the password")
    mistake_at(old, "This is not your current password.")
    see("password-mistake")
    old.fill(PASSWORD)
    new.fill(f"{PASSWORD}!")
    page.get_by_role("button", name="Show new password").click()
    expect(new).to_have_attribute("type", "text")
    press(page, "Change the password")
    expect(page.get_by_role("status")).to_contain_text("Your password is changed.")


def _logs_a_device_out(page: Page, new_page: NewPage, see: See, username: str) -> None:
    other = new_page(logged_in=False)
    log_in(other, username, f"{PASSWORD}!")
    expect(other).to_have_url("/account/")
    page.get_by_role("link", name="Devices").click()
    expect(page.get_by_text("This device", exact=True)).to_be_visible()
    see("devices")
    page.get_by_role("button", name="Log out this device").click()
    expect(page.get_by_role("status")).to_have_text("The device is logged out.")
    expect(page.get_by_role("listitem").filter(has=page.get_by_role("heading"))).to_have_count(1)
    see("devices-one")
    other.goto("/account/")
    expect(other).to_have_title("Log in | Ad house")


def log_in(page: Page, username: str, password: str) -> None:
    page.goto("/account/login/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password", exact=True).fill(password)
    press(page, "Log in")


def _logs_in_again(page: Page, see: See, username: str) -> None:
    press(page, "Log out")
    expect(page.get_by_role("status")).to_have_text("You are logged out.")
    log_in(page, username.upper(), "wrong password")
    expect(page.get_by_role("alert")).to_be_focused()
    see("login-mistake")
    for _ in range(9):
        log_in(page, username, "wrong password")
    log_in(page, username, f"{PASSWORD}!")
    expect(page.get_by_role("alert")).to_contain_text("Too many attempts failed. Try again in")
    see("login-locked")


def test_by_keyboard_alone(new_page: NewPage, username: str) -> None:
    page = new_page(logged_in=False)
    page.goto("/account/register/")
    # The cursor is in the first field already.
    page.keyboard.type(username)
    page.keyboard.press("Tab")
    page.keyboard.type("Mia")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Mia")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("textbox", name="What others see")).to_be_focused()


def test_nothing_foreign_runs_on_the_pages(new_page: NewPage, username: str) -> None:
    page = new_page(logged_in=False)
    register(page, username, nickname="<img src=x onerror=alert(1)>")
    expect(page.get_by_role("heading", level=1)).to_have_text("<img src=x onerror=alert(1)>")
    blocked: list[str] = []
    page.on("console", lambda message: blocked.append(message.text))
    page.evaluate(
        """() => { const script = document.createElement("script");
        script.textContent = "window.foreign = 1"; document.body.append(script); }"""
    )
    assert page.evaluate("window.foreign") is None
    assert any("Content Security Policy" in line for line in blocked)
