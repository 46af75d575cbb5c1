"""The admin of ads: list, form, actions, import and export, history, the visitor page."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from adserver.admin import bulk, changes, transfer, visitor
from adserver.admin.actions import AdActions
from adserver.admin.columns import AdColumns
from adserver.admin.filters import (
    CountryFilter,
    GenderFilter,
    PlatformFilter,
    StateFilter,
)
from adserver.admin.form import AdForm, zone_words
from adserver.admin.writing import AdWriting
from adserver.models import Ad
from adserver.selectors import ads_matching
from commons.lists import LongList

_TARGETING = (("age_start", "age_end"), ("gender", "platform"), "country")
_STATUS = (("state_shown", "served_shown"), ("version", "id"), ("created_shown", "updated_shown"))


@admin.register(Ad)
class AdAdmin(AdColumns, AdActions, AdWriting, LongList):
    """Ads, for people who work with them all day."""

    form = AdForm
    list_display = ("title", "state_shown", "flight_shown", "targeting_shown", "updated_shown")
    list_filter = (StateFilter, CountryFilter, GenderFilter, PlatformFilter)
    list_max_show_all = 200
    list_before_template = "admin/adserver/ad/states.html"
    # Newest first: an id begins with the time it was made.
    ordering = ("-id",)
    search_fields = ("title", "content")
    search_help_text = "Title, content or id"
    warn_unsaved_form = True
    change_form_before_template = "admin/adserver/ad/base_version.html"
    readonly_fields = (
        "state_shown",
        "served_shown",
        "version",
        "id",
        "created_shown",
        "updated_shown",
        "json_shown",
    )
    custom_urls = (
        ("bulk/<str:name>/", "adserver_ad_bulk", bulk.bulk_view),
        ("visitor/", "adserver_ad_visitor", visitor.visitor_view),
        ("import/", "adserver_ad_import", transfer.import_view),
        ("import/example/", "adserver_ad_import_example", transfer.example_view),
    )

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """The filters' own parameters are all there is."""
        return any(lookup == each.parameter_name for each in self.list_filter)

    def get_fieldsets(self, request: HttpRequest, obj: Ad | None = None) -> Any:
        """What the ad says, when, for whom; and for an ad that exists, how it stands."""
        sets: list[tuple[str | None, dict[str, Any]]] = [
            (None, {"fields": ("title", "content")}),
            ("Flight", {"fields": ("start_at", "end_at"), "description": zone_words()}),
            ("For whom", {"fields": _TARGETING}),
        ]
        if obj is None:
            return sets
        return [
            ("How it stands", {"fields": _STATUS}),
            *sets,
            ("As visitors get it", {"fields": ("json_shown",), "classes": ("collapse",)}),
        ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Ad], search_term: str
    ) -> tuple[QuerySet[Ad], bool]:
        """Ads by a part of title or content, or by their id."""
        try:
            return queryset.filter(pk=UUID(search_term.strip())), False
        except ValueError:
            return ads_matching(ads=queryset, text=search_term.strip()), False

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The ad's history out of the change log; it outlives the ad."""
        return changes.history_page(request, object_id, model_admin=self)
