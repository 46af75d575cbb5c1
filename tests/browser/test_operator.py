"""An operator's day, in a browser, until visitors see what they should."""

import json
import urllib.request
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.support.stack import Stack, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("stack")]
VISITOR = {"age": 25, "country": "TW", "gender": "F", "platform": "ios", "limit": 100}
SEEN_TIMEOUT_S = 5.0


def seen(url: str, visitor: dict) -> list[str]:
    """The titles that this visitor gets."""
    with urllib.request.urlopen(f"{url}/api/v1/ad?{urlencode(visitor)}", timeout=60) as answer:
        return [ad["title"] for ad in json.load(answer)["ads"]]


def is_seen(url: str, title: str, wanted: bool = True) -> bool:
    return (title in seen(url, VISITOR)) is wanted


def browser_time(days: float) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%dT%H:%M}"


@pytest.fixture
def title() -> str:
    return f"Night market {uuid4().hex[:8]}"


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()


def fill_ad(page: Page, *, title: str, start_days: float = -1, end_days: float = 2) -> None:
    page.get_by_label("Title").fill(title)
    page.get_by_role("textbox", name="Content").fill("Forty stalls, one evening.")
    page.locator("#id_start_at").fill(browser_time(start_days))
    page.locator("#id_end_at").fill(browser_time(end_days))


def pick_country(page: Page, text: str, name: str) -> None:
    page.locator(".select2-search__field").first.click()
    page.keyboard.type(text)
    page.get_by_role("option", name=name).click()


def test_from_mistake_to_visitor_and_to_the_end(page: Page, stack: Stack, title: str) -> None:
    # A mistake: the end lies before the start. The form says so and keeps what was typed.
    page.goto("/admin/")
    page.get_by_role("link", name="New ad").click()
    fill_ad(page, title=title, end_days=-2)
    page.get_by_label("Female").check()
    page.get_by_label("iOS").check()
    pick_country(page, "taiw", "Taiwan (TW)")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("must be later than start_at")).to_be_visible()
    expect(page.get_by_label("Title")).to_have_value(title)
    expect(page.get_by_label("Female")).to_be_checked()
    assert title not in seen(stack.url, VISITOR)

    # Corrected: visitors of both pools get it, other visitors do not.
    page.locator("#id_end_at").fill(browser_time(2))
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    for url in (stack.url, stack.edge_url):
        wait_until(partial(is_seen, url, title), timeout_s=SEEN_TIMEOUT_S, what="served")
        assert title not in seen(url, {**VISITOR, "gender": "M"})

    # The visitor page shows it to whom it is for, and says why another does not get it.
    page.get_by_role("link", name="What a visitor sees").click()
    page.get_by_label("Age").fill("25")
    page.get_by_label("Gender").select_option("M")
    page.get_by_label("Explain these ads").fill(title)
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_role("row", name=title)).to_contain_text("gender for F, not M")
    page.get_by_label("Gender").select_option("F")
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_role("row", name=title)).to_contain_text("shown above")

    # Ended by its button, after the question, it is gone for everybody.
    page.get_by_role("row", name=title).get_by_role("link").click()
    page.get_by_role("link", name="End now").click()
    expect(page.get_by_role("heading", name="End now: 1 ad")).to_be_visible()
    page.get_by_role("button", name="End now").click()
    expect(page.get_by_text("1 ad ended.")).to_be_visible()
    for url in (stack.url, stack.edge_url):
        gone = partial(is_seen, url, title, False)
        wait_until(gone, timeout_s=SEEN_TIMEOUT_S, what="gone")
    page.get_by_role("link", name="history History").click()
    expect(page.get_by_role("heading", name="changed operator")).to_be_visible()


def test_imports_after_a_preview(page: Page, stack: Stack, title: str, tmp_path: Path) -> None:
    header = "title,content,start_at,end_at,gender,country,platform"
    flight = "2020-01-01T00:00:00Z,2040-01-01T00:00:00Z"
    file = tmp_path / "ads.csv"
    file.write_text(f"{header}\n{title},,{flight},F,TW,ios\nbad,,{flight},,,\n")
    page.goto("/admin/adserver/ad/import/")
    large = tmp_path / "large.csv"
    large.write_bytes(b"x" * (16 * 2**20 + 1))
    page.locator("#id_file").set_input_files(large)
    words = page.locator("#id_file").evaluate("input => input.validationMessage")
    assert words == "large.csv is too large: 16 MiB are the most."
    page.locator("#id_file").set_input_files(file)
    page.get_by_role("button", name="Check the file").click()
    expect(page.get_by_text("1 of 2 rows cannot be imported")).to_be_visible()
    expect(page.get_by_text("title: must have 5 to 100 characters, not 3")).to_be_visible()

    file.write_text(f"{header}\n{title},,{flight},F,TW,ios\n")
    page.locator("#id_file").set_input_files(file)
    page.get_by_role("button", name="Check the file").click()
    page.get_by_role("button", name="Import 1 ad").click()
    expect(page.get_by_text("1 ad imported.")).to_be_visible()
    seen_now = partial(is_seen, stack.url, title)
    wait_until(seen_now, timeout_s=SEEN_TIMEOUT_S, what="served")

    # Chosen in the list and deleted, after the question.
    page.goto(f"/admin/adserver/ad/?{urlencode({'q': title})}")
    page.get_by_role("checkbox", name="Select record").first.check()
    page.get_by_label("Select action to run").select_option("delete_selected")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("heading", name="Delete: 1 ad")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("1 ad deleted.")).to_be_visible()


def test_filters_the_list(page: Page) -> None:
    page.goto("/admin/adserver/ad/")
    page.get_by_role("link", name="Scheduled", exact=True).click()
    expect(page.locator("#result_list tbody")).to_contain_text(["Pre-order opens next week"])
    page.get_by_text("Filters filter_list").click()
    page.get_by_label("By platform of the visitor").select_option("web")
    page.get_by_role("button", name="Apply Filters").click()
    page.wait_for_url("**platform=web**")
    expect(page.locator("#result_list tbody").first).to_be_visible()
