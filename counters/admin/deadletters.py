"""Dead letters: increments that were accepted and could not be counted, and their replay."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import action, display

from commons.filters import ChoiceFilter
from commons.lists import LongList, ReadOnly
from commons.words import number_words
from counters import services
from counters.admin.words import second_words
from counters.models import DeadLetter
from counters.queries import InvalidQuestionError, parse_key


class StateFilter(DropdownFilter):
    """Still open, or replayed."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """The two."""
        return [("open", "Open"), ("replayed", "Replayed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> Any:
        """The dead letters of that state."""
        if self.value() == "open":
            return queryset.filter(replayed_at=None)
        if self.value() == "replayed":
            return queryset.exclude(replayed_at=None)
        return queryset


class ReasonFilter(ChoiceFilter):
    """Why it could not be counted."""

    title = "reason"
    parameter_name = "reason"
    all_choices = DeadLetter.Reason


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnly, LongList):
    """What could not be counted, newest first."""

    list_display = ("reason_shown", "counter_shown", "value_shown", "when_shown", "state_shown")
    list_display_links = None
    list_filter = (StateFilter, ReasonFilter)
    list_filter_sheet = True
    ordering = ("-last_at", "-id")
    actions = ("replay",)
    search_fields = ("key",)
    search_help_text = "The whole key of a counter"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[DeadLetter], search_term: str
    ) -> tuple[QuerySet[DeadLetter], bool]:
        """The dead letters of this very counter."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(key=parse_key(term)), False
        except InvalidQuestionError:
            return queryset.none(), False

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Who may change dead letters may replay them."""
        return bool(request.user.has_perm("counters.change_deadletter"))

    @action(description="Replay: count them now", permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> None:
        """Count the chosen ones as far as they can be counted now."""
        done = services.dead_letters_replay(
            ids=list(queryset.order_by("pk").values_list("pk", flat=True)), actor=request.user
        )
        level = messages.SUCCESS if not done.left else messages.WARNING
        self.message_user(request, f"{done.words}.", level)

    @display(description="Why")
    def reason_shown(self, letter: DeadLetter) -> str:
        """The reason, and what is known beyond it."""
        reason = DeadLetter.Reason(letter.reason).label.capitalize()
        if not letter.detail:
            return str(reason)
        return format_html('{}<br><span class="ah-muted">{}</span>', reason, letter.detail)

    @display(description="Counter")
    def counter_shown(self, letter: DeadLetter) -> str:
        """The counter, leading to its page; else the entry."""
        if letter.key is None:
            return format_html('<span class="ah-muted">entry {}</span>', letter.entry_id)
        return format_html(
            '<a class="ah-link" href="../counter/{}/change/">{}</a>', *[letter.key] * 2
        )

    @display(description="Not counted")
    def value_shown(self, letter: DeadLetter) -> str:
        """How much was not counted."""
        return number_words(letter.value)

    @display(description="Last seen")
    def when_shown(self, letter: DeadLetter) -> str:
        """When it last happened, and how often it did."""
        when = second_words(letter.last_at)
        return when if letter.times == 1 else f"{when}, {number_words(letter.times)} times"

    @display(description="State")
    def state_shown(self, letter: DeadLetter) -> str:
        """Open, or when and by whom it was replayed."""
        if letter.replayed_at is None:
            return format_html('<span class="ah-badge ah-badge-delete">{}</span>', "open")
        return format_html(
            '<span class="ah-badge ah-badge-create">replayed</span><br>'
            '<span class="ah-muted">{} by {}</span>',
            second_words(letter.replayed_at),
            letter.replayed_by_label,
        )
