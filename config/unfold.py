"""The admin's theme and navigation."""

from typing import Any

UNFOLD: dict[str, Any] = {"SITE_TITLE": "Ads", "SITE_HEADER": "Ads", "SITE_SYMBOL": "campaign"}
