"""Tags for people: which there are, how far behind they are, what they take, and a chart of one."""

from typing import Any

import redis
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode

from commons.lists import ReadOnly
from commons.words import bytes_words, number_words
from timeseries import selectors
from timeseries.admin.chart import SPANS_S, chart
from timeseries.admin.words import time_words
from timeseries.models import Tag
from timeseries.records import StoreAwayError, UnknownTagError

_PAGE_ROWS = 50
_PARTITIONS_MAX = 48
_AWAY = "The store does not answer."


@admin.register(Tag)
class TagAdmin(ReadOnly):
    """One page for all tags, whatever store keeps them, and one for each."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """All tags, or with `tag` the chart of one."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        tag = request.GET.get("tag", "")
        context = {
            **self.admin_site.each_context(request),
            **(_tag_page(request, tag) if tag else _overview(request)),
        }
        name = "tag" if tag else "overview"
        return TemplateResponse(request, f"admin/timeseries/{name}.html", context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The tag's chart instead of a form: nothing here can be changed."""
        tag = self.get_object(request, object_id)
        query = urlencode({"tag": tag.name}) if tag else ""
        return HttpResponseRedirect(f"{reverse('admin:timeseries_tag_changelist')}?{query}")


def _tag_page(request: HttpRequest, tag: str) -> dict[str, Any]:
    span = request.GET.get("span", "1 h")
    span = span if span in SPANS_S else "1 h"
    context: dict[str, Any] = {
        "title": "Tag",
        "tag": tag,
        "shown": _tag_words(tag),
        "span": span,
        "spans": list(SPANS_S),
    }
    try:
        return context | chart(tag, span)
    except UnknownTagError:
        return context | {"problem": "Nothing was ever stored under this tag."}
    except StoreAwayError:
        return context | {"problem": _AWAY}


def _overview(request: HttpRequest) -> dict[str, Any]:
    context: dict[str, Any] = {
        "title": "Time series",
        "q": request.GET.get("q", "").strip(),
        "store": settings.TIMESERIES_STORE,
        **_waiting(),
    }
    try:
        summaries = selectors.ask_store(lambda reader: reader.tags())
    except StoreAwayError:
        return context | {"problem": _AWAY}
    found = [each for each in summaries if context["q"].lower() in each.tag.lower()]
    page = Paginator(found, _PAGE_ROWS).get_page(request.GET.get("page"))
    context |= {
        "tags": number_words(len(summaries)),
        "measurements": number_words(sum(each.count for each in summaries)),
        "page": page,
        "rows": [
            (
                each.tag,
                _tag_words(each.tag),
                time_words(each.first_ns),
                time_words(each.last_ns),
                each.count,
            )
            for each in page
        ],
    }
    return context | (_partitions() if settings.TIMESERIES_STORE == "postgres" else {})


def _tag_words(tag: str) -> str:
    """The tag; where spaces at an end or signs that show as nothing are part of it, its literal."""
    return tag if tag.isprintable() and tag == tag.strip() else repr(tag)


def _waiting() -> dict[str, Any]:
    try:
        waiting = selectors.waiting(settings.REDIS_URL)
    except (redis.RedisError, OSError):
        return {"lag": "unknown", "batches": "unknown", "trouble": "Redis does not answer."}
    return {
        "lag": f"{waiting.lag_s:.1f} s",
        "batches": number_words(waiting.batches),
        "size": bytes_words(waiting.size_bytes) if waiting.batches else "",
    }


def _partitions() -> dict[str, Any]:
    sizes = selectors.partition_sizes()
    return {
        "rate": number_words(selectors.rate_per_s()),
        "stored": bytes_words(sum(each.size_bytes for each in sizes)),
        "partitions": [
            (time_words(each.low_ns), number_words(each.measurements), bytes_words(each.size_bytes))
            for each in sizes[:_PARTITIONS_MAX]
        ],
        "more_partitions": max(0, len(sizes) - _PARTITIONS_MAX),
    }
