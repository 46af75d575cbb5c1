"""A directory of pictures of the test's own, and people with browsers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

PASSWORD = "correct horse battery"
NewBrowser = Callable[..., Client]


@pytest.fixture
def directory(settings: Any, tmp_path: Path) -> Path:
    """An empty directory that pictures go to."""
    options = {"location": tmp_path / "pictures"}
    settings.STORAGES = {
        **settings.STORAGES,
        "pictures": {**settings.STORAGES["pictures"], "OPTIONS": options},
    }
    return tmp_path / "pictures"


@pytest.fixture
def browser(db: None) -> Client:
    """A stranger's browser, which insists on tokens in forms as the product does."""
    return Client(enforce_csrf_checks=True, headers={"user-agent": "Mozilla/5.0 (X11) Firefox/1.0"})


def send(client: Client, url: str, **data: Any) -> Any:
    """Send a form as a browser does that has opened its page; the answer."""
    client.get("/account/login/" if "/login/" in url or "/register/" in url else "/account/")
    token = client.cookies["csrftoken"].value
    return client.post(url, {"csrfmiddlewaretoken": token, **data})


def register(client: Client, username: str = "Mia", nickname: str = "") -> None:
    answer = send(
        client, "/account/register/", username=username, nickname=nickname, password=PASSWORD
    )
    assert (answer.status_code, answer.headers.get("Location")) == (302, "/account/"), (
        answer.content
    )


@pytest.fixture
def mia(browser: Client) -> Client:
    """The browser of Mia, who has an account and is logged in."""
    register(browser)
    return browser
