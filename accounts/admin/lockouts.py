"""Lockouts for people: who may not log in for a while, and why; lifting it."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from accounts import services
from accounts.admin.words import when_words
from accounts.models import Lockout
from accounts.names import username_key
from commons.lists import LongList, ReadOnly

_STATES = [("locked", "Locked now"), ("counted", "Failures only")]


class StateFilter(DropdownFilter):
    """Locked now, or not."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """The two of them."""
        return _STATES

    def queryset(self, request: HttpRequest, queryset: QuerySet[Lockout]) -> Any:
        """The rows of the chosen state."""
        locked = Q(locked_until__gt=timezone.now())
        if self.value() == "locked":
            return queryset.filter(locked)
        return queryset.exclude(locked) if self.value() == "counted" else queryset


@admin.register(Lockout)
class LockoutAdmin(ReadOnly, LongList):
    """Failed logins by account and by address, the latest first."""

    list_display = ("subject", "kind_shown", "state_shown", "failures", "until_shown", "last_shown")
    list_display_links = None
    list_filter = (StateFilter,)
    actions = ("unlock",)
    ordering = ("-last_failure_at",)
    search_fields = ("subject",)
    search_help_text = "A username or an address"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Lockout]:
        """Without the rows of those whose tries have all succeeded."""
        rows: QuerySet[Lockout] = super().get_queryset(request)
        return rows.filter(Q(failures__gt=0) | Q(locked_until__gt=timezone.now()))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Lockout], search_term: str
    ) -> tuple[QuerySet[Lockout], bool]:
        """The rows of one account, or of one address."""
        term = search_term.strip()
        return (queryset.filter(subject=username_key(term)) if term else queryset), False

    @display(description="What")
    def kind_shown(self, lockout: Lockout) -> str:
        """An account or an address."""
        return lockout.get_kind_display().capitalize()

    @display(description="State")
    def state_shown(self, lockout: Lockout) -> str:
        """Locked, or only counted so far."""
        colour, words = ("delete", "Locked") if lockout.is_locked else ("ended", "Not locked")
        return format_html('<span class="ah-badge ah-badge-{}">{}</span>', colour, words)

    @display(description="Locked until", ordering="locked_until")
    def until_shown(self, lockout: Lockout) -> str:
        """The end of it; nothing when it is over."""
        return when_words(lockout.locked_until) if lockout.is_locked else "–"

    @display(description="Last failure", ordering="last_failure_at")
    def last_shown(self, lockout: Lockout) -> str:
        """When it last went wrong."""
        return when_words(lockout.last_failure_at)

    @admin.action(description="Unlock", permissions=["unlock"])
    def unlock(self, request: HttpRequest, queryset: QuerySet[Lockout]) -> None:
        """Forget the failures of the chosen ones: they may try again at once."""
        actor = request.user.get_username()
        unlocked = sum(
            services.account_unlock(kind=row.kind, subject=row.subject, actor=actor)
            for row in list(queryset)
        )
        messages.success(request, f"{unlocked} unlocked.")

    def has_unlock_permission(self, request: HttpRequest) -> bool:
        """Whether the person asking may lift lockouts."""
        return request.user.has_perm("accounts.change_lockout")
