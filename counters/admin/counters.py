"""Counters for people: find one by its key, see its total and its history, and how far behind all
of them are.
"""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.decorators import display

from commons.lists import LongList, ReadOnly
from commons.words import number_words
from counters import selectors
from counters.admin.chart import chart
from counters.admin.lag import lag_card
from counters.admin.words import second_words
from counters.models import Counter, DeadLetter
from counters.queries import (
    GRANULARITIES,
    InvalidQuestionError,
    parse_key,
    parse_window,
)


@admin.register(Counter)
class CounterAdmin(ReadOnly, LongList):
    """Every counter, by key."""

    list_display = ("key", "value_shown", "updated_shown")
    list_before_template = "admin/counters/counter/lag.html"
    ordering = ("key",)
    actions = None
    search_fields = ("key",)
    search_help_text = "The whole key"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Counter], search_term: str
    ) -> tuple[QuerySet[Counter], bool]:
        """The counter of this very key: parts of keys mean nothing."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(pk=parse_key(term)), False
        except InvalidQuestionError:
            return queryset.none(), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, below how far behind it is."""
        context = {**(extra_context or {}), "lag": lag_card()}
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """One counter's page instead of a form: nothing here can be changed."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            key = parse_key(object_id)
        except InvalidQuestionError:
            raise Http404 from None
        context = {**self.admin_site.each_context(request), **_page(request, key)}
        return TemplateResponse(request, "admin/counters/counter/page.html", context)

    @display(description="Total", ordering=None)
    def value_shown(self, counter: Counter) -> str:
        """The total."""
        return number_words(counter.value)

    @display(description="Last counted")
    def updated_shown(self, counter: Counter) -> str:
        """When the total last grew."""
        return second_words(counter.updated_at)


def _page(request: HttpRequest, key: UUID) -> dict[str, Any]:
    counter = Counter.objects.filter(pk=key).first()
    [total] = selectors.totals([key])
    query = request.META.get("QUERY_STRING", "").encode()
    context: dict[str, Any] = {
        "title": "Counter",
        "key": key,
        "total": number_words(total.value),
        "as_of": second_words(total.as_of),
        "updated": second_words(counter.updated_at if counter else None),
        "dead": DeadLetter.objects.filter(key=key, replayed_at=None).count(),
        "granularities": GRANULARITIES,
        "granularity": request.GET.get("granularity") or "hour",
    }
    try:
        window = parse_window(query, now=timezone.now())
    except InvalidQuestionError as error:
        return context | {"problem": str(error)}
    return context | chart(window, selectors.history(key, window))
