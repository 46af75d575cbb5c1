"""The change log for people: the list of everything that was done, and the history of one ad."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display

from adserver.admin.words import value_words
from adserver.models import Ad, AdChange
from adserver.selectors import HistoryEntry, ad_history, ad_history_count
from commons.filters import ChoiceFilter, SinceFilter
from commons.lists import LongList, ReadOnly
from commons.words import moment_words

_VERSION_DIGITS_MAX = 18
_ENTRIES_SHOWN = 200


class OperationFilter(ChoiceFilter):
    """What was done."""

    title = "what was done"
    parameter_name = "operation"
    all_choices = AdChange.Operation


class _SinceFilter(SinceFilter):
    """How long ago it was done, at most."""

    field = "created_at"


@admin.register(AdChange)
class AdChangeAdmin(ReadOnly, LongList):
    """Everything that was ever done to an ad, newest first. To be read, not written."""

    list_display = ("version", "at_shown", "who_shown", "operation_shown", "ad_shown")
    list_display_links = None
    list_filter = (OperationFilter, _SinceFilter)
    ordering = ("-version",)
    actions = None
    search_fields = ("actor_label",)
    search_help_text = "Who, an ad's id, or a version"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AdChange]:
        """The entries with the ad's title, without the rest of the ad."""
        return titled_changes()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AdChange], search_term: str
    ) -> tuple[QuerySet[AdChange], bool]:
        """Entries by who made them, by the ad's id, or by version."""
        term = search_term.strip()
        if not term:
            return queryset, False
        wanted = Q(actor_label__icontains=term)
        if term.isascii() and term.isdigit() and len(term) <= _VERSION_DIGITS_MAX:
            wanted |= Q(version=int(term))
        try:
            wanted |= Q(ad_id=UUID(term))
        except ValueError:
            pass
        return queryset.filter(wanted), False

    @display(description="When", ordering="version")
    def at_shown(self, change: AdChange) -> str:
        """When it was done."""
        return moment_words(change.created_at)

    @display(description="Who", ordering="actor_label")
    def who_shown(self, change: AdChange) -> str:
        """The person, or the part of the system, that did it."""
        return change.actor_label

    @display(description="What", ordering="operation")
    def operation_shown(self, change: AdChange) -> str:
        """What was done."""
        return operation_badge(change.operation)

    @display(description="Ad")
    def ad_shown(self, change: AdChange) -> str:
        """The ad's title then, leading to its history."""
        url = reverse("admin:adserver_ad_history", args=[change.ad_id])
        return format_html('<a class="ah-link" href="{}">{}</a>', url, ad_title(change))


def titled_changes() -> QuerySet[AdChange]:
    """The log, newest first, each entry with the ad's title then (a deleted ad's last one) as
    `ad_title`, and without the rest of the ad.
    """
    title = KeyTextTransform("title", "ad")
    written = AdChange.objects.filter(ad_id=OuterRef("ad_id"), ad__isnull=False)
    last_title = Subquery(written.order_by("-version").values(last=title)[:1])
    changes = AdChange.objects.defer("ad").annotate(ad_title=Coalesce(title, last_title))
    return changes.order_by("-version")


def ad_title(change: AdChange) -> str:
    """The title of the ad of one of `titled_changes`; its id when no entry has one any more."""
    return getattr(change, "ad_title", None) or str(change.ad_id)


def operation_badge(operation: str) -> str:
    """What was done, as a coloured word."""
    label = AdChange.Operation(operation).label
    return format_html('<span class="ah-badge ah-badge-{}">{}</span>', operation, label)


def history_page(request: HttpRequest, object_id: str, *, model_admin: Any) -> HttpResponse:
    """Who changed an ad, when, and each field before and after; also of an ad that is deleted, and
    of one whose older changes are trimmed.
    """
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    ad_id = _uuid(object_id)
    count = ad_history_count(ad_id)
    if not count:
        raise Http404
    entries = ad_history(ad_id, 0, _ENTRIES_SHOWN)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "History",
        "ad": Ad.objects.filter(pk=ad_id).first(),
        "ad_id": ad_id,
        "ad_title": ad_title(titled_changes().filter(ad_id=ad_id)[0]),
        "entries": [_shown(entry) for entry in entries],
        "older": count - len(entries),
    }
    return TemplateResponse(request, "admin/adserver/ad/history.html", context)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None


def _shown(entry: HistoryEntry) -> dict[str, Any]:
    return {
        "version": entry.version,
        "badge": operation_badge(entry.operation),
        "actor": entry.actor,
        "at": moment_words(entry.at),
        "changed": [
            (name, value_words(name, before), value_words(name, after))
            for name, (before, after) in entry.changed.items()
        ],
    }
