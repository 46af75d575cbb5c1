"""Sessions for people: who is logged in where; ending it."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from accounts import services
from accounts.admin.words import logged_out_words, when_words
from accounts.devices import device_words
from accounts.models import Session
from accounts.names import username_key
from commons.lists import LongList, ReadOnly

_STATES = [("live", "Live"), ("over", "Over")]


class StateFilter(DropdownFilter):
    """Live, or over."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """The two of them."""
        return _STATES

    def queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> Any:
        """The sessions of the chosen state."""
        live = Q(ended_at=None, expires_at__gt=timezone.now())
        if self.value() == "live":
            return queryset.filter(live)
        return queryset.exclude(live) if self.value() == "over" else queryset


@admin.register(Session)
class SessionAdmin(ReadOnly, LongList):
    """Everybody's sessions, the newest first."""

    list_display = (
        *("user_shown", "state_shown", "device_shown", "address"),
        *("created_shown", "used_shown", "expires_shown"),
    )
    list_display_links = None
    list_filter = (StateFilter,)
    list_select_related = ("user",)
    actions = ("end",)
    # Their ids are in the order of time, and have an index anyway.
    ordering = ("-id",)
    search_fields = ("user",)
    search_help_text = "A username, or its beginning"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        """Sessions without their token's digest, which nobody needs to see."""
        sessions: QuerySet[Session] = super().get_queryset(request)
        return sessions.defer("token_hash")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Session], search_term: str
    ) -> tuple[QuerySet[Session], bool]:
        """The sessions of people whose name begins so."""
        key = username_key(search_term.strip())
        return (queryset.filter(user__username_key__startswith=key) if key else queryset), False

    @display(description="User")
    def user_shown(self, session: Session) -> str:
        """Whose it is, leading to them."""
        url = reverse("admin:accounts_user_change", args=[session.user_id])
        return format_html('<a class="ah-link" href="{}">{}</a>', url, session.user.get_username())

    @display(description="State")
    def state_shown(self, session: Session) -> str:
        """Live, ended or expired."""
        if session.ended_at is not None:
            colour, words = "ended", "Ended"
        elif session.expires_at <= timezone.now():
            colour, words = "ended", "Expired"
        else:
            colour, words = "live", "Live"
        return format_html('<span class="ah-badge ah-badge-{}">{}</span>', colour, words)

    @display(description="Device")
    def device_shown(self, session: Session) -> str:
        """What its owner would call the device; what it calls itself when pointed at."""
        return format_html(
            '<span title="{}">{}</span>', session.device, device_words(session.device)
        )

    @display(description="Logged in", ordering="id")
    def created_shown(self, session: Session) -> str:
        """When it began."""
        return when_words(session.created_at)

    @display(description="Last used")
    def used_shown(self, session: Session) -> str:
        """When it was last used, a minute or so behind."""
        return when_words(session.last_used_at)

    @display(description="Ends")
    def expires_shown(self, session: Session) -> str:
        """When it ends at the latest, or did."""
        return when_words(session.ended_at or session.expires_at)

    @admin.action(description="Log out", permissions=["end"])
    def end(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        """End the chosen sessions: their devices have to log in again."""
        ended = services.sessions_revoke(
            session_ids=list(queryset.values_list("pk", flat=True)),
            actor=request.user.get_username(),
        )
        messages.success(request, logged_out_words(ended))

    def has_end_permission(self, request: HttpRequest) -> bool:
        """Whether the person asking may end others' sessions."""
        return request.user.has_perm("accounts.change_session")
