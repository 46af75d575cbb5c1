"""What a visitor sees: the index's very answer to a query string, and why the other ads are not
in it.

The answer comes from the index of the process that answers this page, by the hot route's own
handler. The reasons are worked out from the table, so that the page can also explain an ad which
the index does not hold.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelect2Widget

from adserver.admin.words import (
    GENDER_NAMES,
    PLATFORM_NAMES,
    age_words,
    country_choices,
    targeting_words,
)
from adserver.catalog import lookup_ads, process_index
from adserver.fastpath import InvalidQueryError, parse_query
from adserver.models import Ad, record_of
from adserver.records import AdRecord, epoch_us, parse_record
from adserver.selectors import ads_matching, catalog_version
from adserver.targeting import exclusions
from commons.lists import CappedPaginator
from commons.words import moment_words

_PARAMETERS = ("age", "country", "gender", "platform", "offset", "limit")
_LISTS = ("country", "gender", "platform")
_OTHERS_A_PAGE = 25


def visitor_view(request: HttpRequest, model_admin: Any) -> HttpResponse:
    """The form, the answer, and the ads that are not in it."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    query = request.META.get("QUERY_STRING", "").encode()
    answer = lookup_ads(query)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "What a visitor sees",
        "given": {name: request.GET.get(name, "") for name in _PARAMETERS},
        "q": _search_text(request),
        "choices": {
            "country": country_choices(),
            "gender": list(GENDER_NAMES.items()),
            "platform": list(PLATFORM_NAMES.items()),
        },
        "media": UnfoldAdminSelect2Widget().media,
        "status": answer.status,
        "raw": orjson.dumps(orjson.loads(answer.body), option=orjson.OPT_INDENT_2).decode(),
        "public_url": f"/api/v1/ad?{_public_query(request)}".removesuffix("?"),
    }
    if answer.status == 200:
        context |= _shown(request, query, answer.body)
    else:
        context["problem"] = orjson.loads(answer.body)["msg"]
    return TemplateResponse(request, "admin/adserver/ad/visitor.html", context)


def _search_text(request: HttpRequest) -> str:
    # No ad holds a NUL, and PostgreSQL takes none.
    return request.GET.get("q", "").replace("\0", "").strip()


def _public_query(request: HttpRequest) -> str:
    given = {name: request.GET[name] for name in _PARAMETERS if request.GET.get(name)}
    return urlencode(given)


def _shown(request: HttpRequest, query: bytes, body: bytes) -> dict[str, Any]:
    """The ads of the answer as cards, and a page of the others with their reasons."""
    visitor, offset, _ = _asked(query)
    answer = orjson.loads(body)
    ads = [parse_record(orjson.dumps(ad)) for ad in answer["ads"]]
    others = _others(request, visitor, _search_text(request))
    in_answer = {ad.id for ad in ads}
    last = offset + len(ads)
    return {
        "total": answer["total"],
        "first": offset + 1,
        "last": last,
        "beyond": answer["total"] - len(ads),
        "version": process_index.version,
        "newest_version": catalog_version(),
        "cards": [(ad, targeting_words(ad), moment_words(ad.end_at)) for ad in ads],
        "others_page": others,
        "others": [_explained(ad, visitor, in_answer, request) for ad in others],
        "page_query": _page_query(request),
    }


def _asked(query: bytes) -> tuple[int, int, int]:
    try:
        return parse_query(query)
    except InvalidQueryError:
        # The handler has just accepted the same bytes.
        raise AssertionError("the hot route and its parser disagree") from None


def _page_query(request: HttpRequest) -> str:
    kept = request.GET.copy()
    kept.pop("page", None)
    return kept.urlencode()


def _others(request: HttpRequest, visitor: int, text: str) -> Any:
    """A page of open ads: those that the search finds, else those that do not fit."""
    ads = Ad.objects.order_by("end_at", "id")
    if text:
        ads = _found(ads, text)
    else:
        ads = ads.filter(closed_at__isnull=True).exclude(_fitting(request))
    return CappedPaginator(ads, _OTHERS_A_PAGE).get_page(request.GET.get("page"))


def _found(ads: QuerySet[Ad], text: str) -> QuerySet[Ad]:
    try:
        return ads.filter(pk=UUID(text))
    except ValueError:
        return ads_matching(ads=ads.filter(closed_at__isnull=True), text=text)


def _fitting(request: HttpRequest) -> Q:
    """The condition under which an ad is in the answer, for the database."""
    now = timezone.now()
    fitting = Q(start_at__lte=now, end_at__gt=now)
    if age := request.GET.get("age"):
        fitting &= Q(age_start__lte=int(age), age_end__gte=int(age))
    for name in _LISTS:
        if value := request.GET.get(name):
            fitting &= Q(**{f"{name}__contains": [value]}) | Q(**{f"{name}__len": 0})
    return fitting


def _explained(
    ad: Ad, visitor: int, in_answer: Iterable[UUID], request: HttpRequest
) -> dict[str, Any]:
    record = record_of(ad)
    names = exclusions(record, now_us=epoch_us(timezone.now()), visitor=visitor)
    return {
        "ad": ad,
        "targeting": targeting_words(ad),
        "shown": ad.pk in in_answer,
        "reasons": [_reason_words(name, record, request) for name in names],
    }


def _reason_words(name: str, ad: AdRecord, request: HttpRequest) -> tuple[str, str]:
    """The condition's name, and in words what it asks for and what the visitor brings."""
    if name == "start_at":
        return "start", f"not before {moment_words(ad.start_at)}"
    if name == "end_at":
        return "end", f"over since {moment_words(ad.end_at)}"
    given = request.GET.get(name, "")
    if name == "age":
        return "age", f"for {age_words(ad.age_start, ad.age_end)}, not {given}"
    accepted = getattr(ad, name)
    return name, f"for {', '.join(accepted)}, not {given}"
