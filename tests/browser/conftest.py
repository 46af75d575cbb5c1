"""Chromium, an operator who is logged in, and where screenshots go."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from tests.support.stack import Stack

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
NewPage = Callable[..., Page]
# The stack and the browser share the machine's cores with all the rest of the suite.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Without it these tests are skipped, with a line that says so.

    For a module, not for longer: as long as it is open, this thread has a running event loop, which
    Django and asyncio take for a mistake in whatever test comes next.
    """
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def session(browser: Browser, stack: Stack) -> Any:
    """The cookies of the operator, who logs in once, through the form."""
    context = browser.new_context(base_url=stack.url)
    page = context.new_page()
    page.goto("/admin/")
    page.get_by_label("Username").fill(stack.operator["username"])
    page.get_by_label("Password").fill(stack.operator["password"])
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/admin/")
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def new_page(browser: Browser, stack: Stack, session: Any) -> Iterator[NewPage]:
    """Opens pages as the operator; at the end each must have loaded without a mistake, and
    nothing from elsewhere.
    """
    contexts: list[BrowserContext] = []
    mistakes: list[str] = []

    def make(*, logged_in: bool = True, width: int = 1280, scheme: Any = "light") -> Page:
        context = browser.new_context(
            base_url=stack.url,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            storage_state=session if logged_in else None,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: mistakes.append(f"{page.url}: {error}"))
        page.on("requestfailed", lambda request: _failed(request, mistakes))
        page.on("request", lambda request: _foreign(request.url, stack.url, mistakes))
        return page

    yield make
    for context in contexts:
        context.close()
    assert mistakes == []


def _failed(request: Request, mistakes: list[str]) -> None:
    # Aborted: the page was left, or it is a download.
    if request.failure != "net::ERR_ABORTED":
        mistakes.append(f"failed: {request.url}: {request.failure}")


def _foreign(url: str, home: str, mistakes: list[str]) -> None:
    if not url.startswith((home, "data:", "blob:")):
        mistakes.append(f"from elsewhere: {url}")


@pytest.fixture(scope="session")
def screenshots() -> Path | None:
    """Where screenshots go: SCREENSHOT_DIR. None are taken without it: nobody would see them."""
    given = os.environ.get("SCREENSHOT_DIR")
    if not given:
        return None
    Path(given).mkdir(parents=True, exist_ok=True)
    return Path(given)
