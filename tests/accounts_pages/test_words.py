"""Devices and lengths of time in words."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from accounts.devices import device_words
from accounts.pages.words import ago_words, wait_words

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130.0.0.0 Safari/537.36"
EDGE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0.0.0 Safari/537.36"
    " Edg/130.0.0.0"
)
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0"
    " Mobile/15E148 Safari/604.1"
)
FIREFOX = "Mozilla/5.0 (Android 15; Mobile; rv:132.0) Gecko/132.0 Firefox/132.0"


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (CHROME, "Chrome on Linux"),
        (EDGE, "Edge on Windows"),
        (SAFARI, "Safari on iPhone"),
        (FIREFOX, "Firefox on Android"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("packets", "A program, over TCP"),
        ("x" * 500, "x" * 60),
        ("", "Unknown device"),
    ],
)
def test_devices(user_agent, words):
    assert device_words(user_agent) == words


@pytest.mark.parametrize(
    ("past_s", "words"),
    [
        (-5, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (3599, "59 minutes ago"),
        (7200, "2 hours ago"),
        (86_400, "1 day ago"),
    ],
)
def test_how_long_ago(past_s, words):
    now = datetime(2026, 1, 2, tzinfo=UTC)
    with time_machine.travel(now, tick=False):
        assert ago_words(now - timedelta(seconds=past_s)) == words


@pytest.mark.parametrize(
    ("wait_s", "words"),
    [
        (0, "1 second"),
        (0.2, "1 second"),
        (60, "60 seconds"),
        (61, "2 minutes"),
        (3600, "60 minutes"),
        (3601, "2 hours"),
        (90_000, "2 days"),
    ],
)
def test_how_long_to_wait(wait_s, words):
    assert wait_words(wait_s) == words
