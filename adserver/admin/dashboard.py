"""The admin's first page: how many ads stand where, what ends soon, what was done last."""

from datetime import timedelta
from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest
from django.utils import timezone

from adserver.admin.changes import ad_title, operation_badge, titled_changes
from adserver.admin.words import distance_words, targeting_words
from adserver.catalog import process_index
from adserver.models import Ad
from commons.words import moment_words

_SOON = timedelta(hours=24)
_ROWS = 8


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the first page's context what the person may see."""
    user = request.user
    if user.has_perm("adserver.view_ad"):
        context |= {"counts": _counts(), "ending": _ending(), "served": process_index.state()}
    if user.has_perm("adserver.view_adchange"):
        context["changes"] = _changes()
    return context


def _counts() -> dict[str, int]:
    now = timezone.now()
    live = Q(start_at__lte=now, end_at__gt=now)
    return Ad.objects.aggregate(
        live=Count("pk", filter=live),
        scheduled=Count("pk", filter=Q(start_at__gt=now)),
        ended=Count("pk", filter=Q(end_at__lte=now)),
        ending=Count("pk", filter=live & Q(end_at__lte=now + _SOON)),
    )


def _ending() -> list[dict[str, Any]]:
    now = timezone.now()
    soon = Ad.objects.filter(start_at__lte=now, end_at__gt=now, end_at__lte=now + _SOON)
    return [
        {
            "ad": ad,
            "left": distance_words(ad.end_at - now),
            "end": moment_words(ad.end_at),
            "targeting": targeting_words(ad),
        }
        for ad in soon.order_by("end_at", "id")[:_ROWS]
    ]


def _changes() -> list[dict[str, Any]]:
    return [
        {
            "change": change,
            "title": ad_title(change),
            "badge": operation_badge(change.operation),
            "ago": distance_words(timezone.now() - change.created_at),
        }
        for change in titled_changes()[:_ROWS]
    ]
