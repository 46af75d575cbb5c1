"""How the pages say things: devices, lengths of time."""

import math
import re
from datetime import datetime, timedelta

from django.utils import timezone

_DEVICE_CHARACTERS_MAX = 60
# In this order: each browser also claims to be some of those below it.
_BROWSERS = (
    ("Edge", r"\bEdg(e|A|iOS)?/"),
    ("Opera", r"\bOPR/"),
    ("Samsung Internet", r"\bSamsungBrowser/"),
    ("Firefox", r"\b(Firefox|FxiOS)/"),
    ("Chrome", r"\b(Chrome|Chromium|CriOS|HeadlessChrome)/"),
    ("Safari", r"\bSafari/"),
)
_SYSTEMS = (
    ("iPhone", r"\biPhone\b"),
    ("iPad", r"\biPad\b"),
    ("Android", r"\bAndroid\b"),
    ("Windows", r"\bWindows\b"),
    ("Mac", r"\bMacintosh\b"),
    ("ChromeOS", r"\bCrOS\b"),
    ("Linux", r"\bLinux\b"),
)
_UNITS_S = (("day", 86_400), ("hour", 3600), ("minute", 60))


def device_words(user_agent: str) -> str:
    """A device as its owner would call it, such as `Firefox on Windows`.

    Programs that are no browsers keep the name that they give themselves.
    """
    browser, system = _first(_BROWSERS, user_agent), _first(_SYSTEMS, user_agent)
    if browser:
        return f"{browser} on {system}" if system else browser
    return user_agent[:_DEVICE_CHARACTERS_MAX].strip() or "Unknown device"


def _first(kinds: tuple[tuple[str, str], ...], text: str) -> str:
    return next((name for name, pattern in kinds if re.search(pattern, text)), "")


def ago_words(moment: datetime) -> str:
    """How long ago something was, such as `5 minutes ago`; `just now` within a minute."""
    past_s = int((timezone.now() - moment).total_seconds())
    for unit, unit_s in _UNITS_S:
        if past_s >= unit_s:
            return f"{_many(past_s // unit_s, unit)} ago"
    return "just now"


def wait_words(wait_s: float) -> str:
    """How long to wait, rounded up: `45 seconds`, `3 minutes`, `2 hours`."""
    left = timedelta(seconds=max(1, math.ceil(wait_s)))
    for unit, unit_s in _UNITS_S:
        if left > timedelta(seconds=unit_s):
            return _many(math.ceil(left.total_seconds() / unit_s), unit)
    return _many(int(left.total_seconds()), "second")


def _many(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def sentence(problem: str) -> str:
    """What is wrong with a field, as a sentence."""
    return f"{problem[:1].upper()}{problem[1:]}."
