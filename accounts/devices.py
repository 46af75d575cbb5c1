"""What people call the devices on which they are logged in. Pure."""

import re

_DEVICE_CHARACTERS_MAX = 60
# What a session is called that was opened over TCP, where nobody says what they are.
PACKETS_DEVICE = "packets"
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


def device_words(user_agent: str) -> str:
    """A device as its owner would call it, such as `Firefox on Windows`.

    Programs that are no browsers keep the name that they give themselves.
    """
    if user_agent == PACKETS_DEVICE:
        return "A program, over TCP"
    browser, system = _first(_BROWSERS, user_agent), _first(_SYSTEMS, user_agent)
    if browser:
        return f"{browser} on {system}" if system else browser
    return user_agent[:_DEVICE_CHARACTERS_MAX].strip() or "Unknown device"


def _first(kinds: tuple[tuple[str, str], ...], text: str) -> str:
    return next((name for name, pattern in kinds if re.search(pattern, text)), "")
