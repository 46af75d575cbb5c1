"""Every page at desktop and phone width, light and dark: a picture, and nothing sticks out."""

import time
from math import sin
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import NewPage
from tests.support import plain_http
from tests.support.stack import Stack, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("stack")]
LIST = "/admin/adserver/ad/"
COUNTER = "7d6b1f2e-5f0c-4c0e-9d3a-0f3f1a6f6a11"
FULL_COUNTER = "8e7c2a3f-6a1d-4d1f-8e4b-1a4a2b7a7b22"
VALUE_MAX = 2**63 - 1
TAG = "boiler-7"
PAGES = {
    "home": "/",
    "not-found": "/nowhere",
    "overview": "/admin/",
    "ads": LIST,
    "ad-add": f"{LIST}add/",
    "import": f"{LIST}import/",
    "visitor": f"{LIST}visitor/?age=25&country=TW&limit=3",
    "visitor-mistake": f"{LIST}visitor/?age=999",
    "change-log": "/admin/adserver/adchange/",
    "counters": "/admin/counters/counter/",
    "counter": f"/admin/counters/counter/{COUNTER}/change/",
    "counter-minutes": f"/admin/counters/counter/{FULL_COUNTER}/change/?granularity=minute",
    "dead-letters": "/admin/counters/deadletter/",
    "time-series": "/admin/timeseries/tag/",
    "tag": f"/admin/timeseries/tag/?tag={TAG}&span=10%20min",
    "users": "/admin/accounts/user/",
    "user-add": "/admin/accounts/user/add/",
    "sessions": "/admin/accounts/session/",
    "ads-nothing-fits": f"{LIST}?q=nothing-is-called-so",
    "lockouts": "/admin/accounts/lockout/",
    "audit": "/admin/accounts/auditevent/",
    "groups": "/admin/auth/group/",
    "token": "/admin/accounts/user/token/",
    "password": "/admin/password_change/",
}
# Every field that can be seen needs a name for those who cannot see it.
NAMELESS = """
    [...document.querySelectorAll("input:not([type=hidden]), select, textarea")]
        .filter(field => field.checkVisibility())
        .filter(field => !field.labels?.length && !field.ariaLabel)
        .filter(field => !field.getAttribute("aria-labelledby"))
        .map(field => field.outerHTML.slice(0, 120))
"""
# Pages of the first ad in the list.
AD_PAGES = {
    "ad": f"{LIST}{{id}}/change/",
    "ad-history": f"{LIST}{{id}}/history/",
    "ad-extend": f"{LIST}bulk/extend/?id={{id}}",
    "ad-delete": f"{LIST}bulk/delete/?id={{id}}",
}


def picture(page: Page, directory: Path | None, name: str) -> None:
    """Nothing sticks out of the page and every field has a name; a picture if one is wanted."""
    page.wait_for_load_state("load")
    page.evaluate("document.fonts.ready.then(() => true)")
    if directory is not None:
        page.screenshot(path=directory / f"{name}.png", full_page=True)
    over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert over <= 0, f"{page.url} sticks out sideways by {over} px"
    assert page.evaluate(NAMELESS) == [], f"{page.url} has fields without a name"


@pytest.fixture(scope="module")
def counted(stack: Stack) -> None:
    """Counters with a history, and one that is full and has a dead letter."""
    full = {"key": FULL_COUNTER, "value": VALUE_MAX}
    batch = [{"key": COUNTER, "value": 41}, {"key": COUNTER, "value": 1_200}, full, full]
    plain_http.post(f"{stack.url}/increment/batch", json=batch).raise_for_status()
    url = f"{stack.url}/counters/{COUNTER}"
    wait_until(lambda: plain_http.get(url).json()["value"], timeout_s=60, what="all counted")


@pytest.fixture(scope="module")
def measured(stack: Stack) -> None:
    """A tag with two values that went up and down for ten minutes."""
    now_ns = time.time_ns()
    batch = [
        {"time": now_ns - n * 10**9, "tag": TAG, "values": [80 + 5 * sin(n / 40), n % 90]}
        for n in range(600)
    ]
    plain_http.post(f"{stack.url}/save/batch", json=batch).raise_for_status()
    url = f"{stack.url}/api?tag={TAG}&start={now_ns - 10**9}&end={now_ns}"
    wait_until(lambda: plain_http.get(url).status_code == 200, timeout_s=60, what="all stored")


@pytest.fixture(scope="module")
def registered(stack: Stack) -> None:
    """Somebody who is logged in on a telephone, and over TCP."""
    users = f"{stack.url}/api/v1/users"
    person = {"username": f"Mia-{time.time_ns():x}", "password": "correct horse", "nickname": "Mía"}
    plain_http.post(f"{users}/register", json=person).raise_for_status()
    phone = "Mozilla/5.0 (Android 15; Mobile; rv:132.0) Gecko/132.0 Firefox/132.0"
    for device in (phone, "packets"):
        plain_http.post(f"{users}/login", json=person, headers={"user-agent": device})


@pytest.mark.usefixtures("counted", "measured", "registered")
# Each width and each scheme once by default, the other pairs in the drill.
@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        (390, "dark"),
        pytest.param(1280, "dark", marks=pytest.mark.drill),
        pytest.param(390, "light", marks=pytest.mark.drill),
    ],
)
def test_every_page(new_page: NewPage, screenshots: Path | None, width: int, scheme: str) -> None:
    page = new_page(width=width, scheme=scheme)
    page.goto(LIST)
    ad_id = page.locator("input[name=_selected_action]").first.get_attribute("value")
    urls = PAGES | {name: url.format(id=ad_id) for name, url in AD_PAGES.items()}
    for name, url in urls.items():
        page.goto(url)
        picture(page, screenshots, f"{name}-{width}-{scheme}")
    page.goto(f"{LIST}add/")
    page.get_by_role("button", name="Save", exact=True).click()
    picture(page, screenshots, f"ad-mistakes-{width}-{scheme}")
    page = new_page(logged_in=False, width=width, scheme=scheme)
    page.goto("/admin/login/")
    picture(page, screenshots, f"login-{width}-{scheme}")
