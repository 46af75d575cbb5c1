"""The account log for people: who logged in, who failed to, who was locked out. To be read."""

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.decorators import display

from accounts.admin.words import when_words
from accounts.models import AuditEvent
from accounts.names import username_key
from commons.filters import ChoiceFilter, SinceFilter
from commons.lists import LongList, ReadOnly

_COLOURS = {
    AuditEvent.Kind.REGISTER: "create",
    AuditEvent.Kind.LOGIN: "live",
    AuditEvent.Kind.UNLOCK: "update",
    AuditEvent.Kind.PASSWORD: "update",
    AuditEvent.Kind.FAILURE: "delete",
    AuditEvent.Kind.LOCKOUT: "delete",
}


class KindFilter(ChoiceFilter):
    """What happened."""

    title = "what happened"
    parameter_name = "kind"
    all_choices = AuditEvent.Kind


class _SinceFilter(SinceFilter):
    """How long ago it happened, at most."""

    field = "at"


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnly, LongList):
    """Everything that happened to accounts, newest first."""

    list_display = ("at_shown", "kind_shown", "username", "address", "detail")
    list_display_links = None
    list_filter = (KindFilter, _SinceFilter)
    list_select_related = ("user",)
    actions = None
    ordering = ("-id",)
    search_fields = ("username",)
    search_help_text = "A username, as it is written, or an address"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent], search_term: str
    ) -> tuple[QuerySet[AuditEvent], bool]:
        """The events of one name, or of one address."""
        term = search_term.strip()
        if not term:
            return queryset, False
        theirs = Q(user__username_key=username_key(term))
        return queryset.filter(theirs | Q(username=term) | Q(address=term)), False

    @display(description="When", ordering="id")
    def at_shown(self, event: AuditEvent) -> str:
        """When it happened."""
        return when_words(event.at)

    @display(description="What")
    def kind_shown(self, event: AuditEvent) -> str:
        """What happened, as a coloured word."""
        colour = _COLOURS.get(AuditEvent.Kind(event.kind), "ended")
        words = event.get_kind_display()
        return format_html('<span class="ah-badge ah-badge-{}">{}</span>', colour, words)
