"""The admin's theme and navigation.

Read while the settings load, so everything that needs Django is asked for later: links are lazy,
and what depends on the person is a function of the request.
"""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _may(*permissions: str) -> Callable[[HttpRequest], bool]:
    return lambda request: bool(request.user.has_perms(permissions))


def _file(path: str) -> Callable[[HttpRequest], str]:
    return lambda request: static(path)


def _below(start: str, *except_for: str) -> Callable[[HttpRequest], bool]:
    """Whether the page is below `start`, but not one that has its own item."""

    def active(request: HttpRequest) -> bool:
        return start in request.path and not any(part in request.path for part in except_for)

    return active


def _item(title: str, icon: str, link: str, *permissions: str) -> dict[str, Any]:
    target = reverse_lazy(link) if ":" in link else link
    return {"title": title, "icon": icon, "link": target, "permission": _may(*permissions)}


_NAVIGATION: list[dict[str, Any]] = [
    {
        "items": [
            _item("Overview", "dashboard", "admin:index"),
            {
                **_item("Ads", "campaign", "admin:adserver_ad_changelist", "adserver.view_ad"),
                "active": _below("/adserver/ad/", "/ad/import/", "/ad/visitor/"),
            },
            _item("Import", "upload_file", "admin:adserver_ad_import", "adserver.add_ad"),
            _item(
                "What a visitor sees", "visibility", "admin:adserver_ad_visitor", "adserver.view_ad"
            ),
            _item(
                "Change log",
                "history",
                "admin:adserver_adchange_changelist",
                "adserver.view_adchange",
            ),
        ]
    },
    {
        "title": "Counters",
        "separator": True,
        "items": [
            _item("Counters", "tag", "admin:counters_counter_changelist", "counters.view_counter"),
            _item(
                "Dead letters",
                "unsubscribe",
                "admin:counters_deadletter_changelist",
                "counters.view_deadletter",
            ),
        ],
    },
    {
        "title": "Time series",
        "separator": True,
        "items": [
            _item("Tags", "show_chart", "admin:timeseries_tag_changelist", "timeseries.view_tag")
        ],
    },
    {
        "title": "People",
        "separator": True,
        "items": [
            {
                **_item("Users", "person", "admin:accounts_user_changelist", "accounts.view_user"),
                "active": _below("/accounts/user/", "/user/token/"),
            },
            _item(
                "Sessions", "devices", "admin:accounts_session_changelist", "accounts.view_session"
            ),
            _item("Lockouts", "lock", "admin:accounts_lockout_changelist", "accounts.view_lockout"),
            _item(
                "Audit events",
                "policy",
                "admin:accounts_auditevent_changelist",
                "accounts.view_auditevent",
            ),
            _item("Groups", "group", "admin:auth_group_changelist", "auth.view_group"),
            _item("My API token", "key", "admin:accounts_user_token"),
        ],
    },
    {
        "title": "For developers",
        "separator": True,
        "items": [_item("API documentation", "api", "/api/v1/docs/")],
    },
]

# Teal, darker at 500 and 600 than the usual palette, so that white text on it has a contrast of
# at least 4.5.
_PRIMARY = {
    "50": "oklch(98.4% .014 180.7)",
    "100": "oklch(95.3% .051 180.8)",
    "200": "oklch(91% .096 180.4)",
    "300": "oklch(85.5% .138 181.1)",
    "400": "oklch(77.7% .152 181.9)",
    "500": "oklch(62% .118 184.7)",
    "600": "oklch(50% .094 186.4)",
    "700": "oklch(43.7% .078 188.2)",
    "800": "oklch(38.6% .063 188.4)",
    "900": "oklch(33% .053 190)",
    "950": "oklch(27.7% .046 192.5)",
}

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Ad house",
    "SITE_HEADER": "Ad house",
    "SITE_SUBHEADER": "Ads, served from memory",
    "SITE_SYMBOL": "campaign",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": _file("adhouse/favicon.svg")}
    ],
    "SHOW_VIEW_ON_SITE": False,
    "LOGIN": {"form": "accounts.staff_login.StaffLoginForm"},
    "DASHBOARD_CALLBACK": "adserver.admin.dashboard.dashboard",
    "STYLES": [_file("adhouse/admin.css")],
    "SCRIPTS": [_file("adhouse/admin.js")],
    "COLORS": {"primary": _PRIMARY},
    "BORDER_RADIUS": "6px",
    "SIDEBAR": {"navigation": _NAVIGATION},
}
