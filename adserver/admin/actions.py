"""The buttons of the admin: actions on the ads chosen in the list, above the list, on one ad.

None of them writes: they lead to the page that asks first (`bulk`), or to a file.
"""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.decorators import action

from adserver.admin import bulk, transfer
from adserver.models import Ad


def _to_bulk(name: str, object_id: str) -> HttpResponse:
    back = reverse("admin:adserver_ad_change", args=[object_id]) if name != "delete" else ""
    query = urlencode({"id": object_id, "back": back})
    return HttpResponseRedirect(f"{reverse('admin:adserver_ad_bulk', args=[name])}?{query}")


class AdActions(ModelAdmin):
    """The actions, for `AdAdmin`."""

    actions = ("end_now", "extend", "duplicate", "export_chosen", "delete_selected")
    actions_list = ("import_ads", "export_ads")
    actions_detail = ("extend_one", "end_one", "duplicate_one", "visitor_one")

    # Actions on the ads chosen in the list.

    def _ask(self, request: HttpRequest, name: str, queryset: QuerySet[Ad]) -> HttpResponse:
        ids = list(queryset.order_by().values_list("pk", flat=True)[: bulk.ADS_MAX + 1])
        return bulk.ask(request, name, ids, model_admin=self)

    @admin.action(description="End now", permissions=["change"])
    def end_now(self, request: HttpRequest, queryset: QuerySet[Ad]) -> HttpResponse:
        """Ask, then end."""
        return self._ask(request, "end", queryset)

    @admin.action(description="Extend", permissions=["change"])
    def extend(self, request: HttpRequest, queryset: QuerySet[Ad]) -> HttpResponse:
        """Ask by how long, then extend."""
        return self._ask(request, "extend", queryset)

    @admin.action(description="Duplicate", permissions=["add"])
    def duplicate(self, request: HttpRequest, queryset: QuerySet[Ad]) -> HttpResponse:
        """Ask, then copy."""
        return self._ask(request, "duplicate", queryset)

    @admin.action(description="Delete", permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Ad]) -> HttpResponse:
        """Ask, then delete."""
        return self._ask(request, "delete", queryset)

    @admin.action(description="Export as CSV", permissions=["view"])
    def export_chosen(self, request: HttpRequest, queryset: QuerySet[Ad]) -> Any:
        """The chosen ads as a file."""
        return transfer.export(request, queryset)

    # Buttons above the list.

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list. Its export button keeps filter and search, which the theme leaves out."""
        page: HttpResponse = super().changelist_view(request, extra_context)
        context = getattr(page, "context_data", None) or {}
        for button in context.get("actions_list", ()):
            if request.GET and button["title"] == "Export":
                button["path"] += f"?{request.GET.urlencode()}"
        return page

    @action(description="Import", icon="upload_file", url_path="to-import", permissions=["add"])
    def import_ads(self, request: HttpRequest) -> HttpResponse:
        """To the import page."""
        return HttpResponseRedirect(reverse("admin:adserver_ad_import"))

    @action(description="Export", icon="download", url_path="export", permissions=["view"])
    def export_ads(self, request: HttpRequest) -> Any:
        """The ads of the current filter and search as a file."""
        return transfer.export(request, self.get_changelist_instance(request).get_queryset(request))

    # Buttons of one ad. The theme asks these for it, with the ad's id. A permission's full name
    # in their place would be looked up in the database by every system check, which then fails
    # before the first migration.

    def has_add_one_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Whether the operator may copy an ad."""
        return bool(self.has_add_permission(request))

    def has_change_one_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Whether the operator may change an ad."""
        return bool(self.has_change_permission(request))

    def has_view_one_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Whether the operator may look at an ad."""
        return bool(self.has_view_permission(request))

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """To the page that asks first, in place of Django's own."""
        return _to_bulk("delete", object_id)

    @action(description="Extend", icon="more_time", url_path="extend", permissions=["change_one"])
    def extend_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the page that asks by how long."""
        return _to_bulk("extend", object_id)

    @action(description="End now", icon="timer_off", url_path="end", permissions=["change_one"])
    def end_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the page that asks first."""
        return _to_bulk("end", object_id)

    @action(description="Duplicate", icon="content_copy", url_path="copy", permissions=["add_one"])
    def duplicate_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the page that asks first."""
        return _to_bulk("duplicate", object_id)

    @action(description="Who sees it", icon="visibility", url_path="seen", permissions=["view_one"])
    def visitor_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the visitor page, at what it says of this ad."""
        query = urlencode({"q": object_id})
        return HttpResponseRedirect(f"{reverse('admin:adserver_ad_visitor')}?{query}#why")
