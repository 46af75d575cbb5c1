"""Lists in the admin that may be very long: ten million rows are one quick page."""

from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

COUNT_MAX = 100_000


class CappedPaginator(Paginator):  # type: ignore[type-arg] # not generic when it runs
    """Counts no further than `COUNT_MAX` rows: nobody turns that many pages, and counting all on
    every click would be most of the page's time.
    """

    @cached_property
    def count(self) -> int:
        """How many rows there are, at most `COUNT_MAX`."""
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by()[:COUNT_MAX].count()


class CountedOnce(ChangeList):
    """A list that knows the number of its rows, and never asks how many there are without the
    filters.
    """

    def get_results(self, request: HttpRequest) -> None:
        """Count and read one page."""
        super().get_results(request)
        self.full_result_count = self.result_count


class CheckedChoice(ModelAdmin):
    """A list of which rows are chosen for an action."""

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """What the action answers; a message where a row was chosen that there cannot be."""
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if all(_can_be(self.model._meta.pk, each) for each in chosen):
            return super().response_action(request, queryset)
        messages.error(request, "What was chosen is in no list. Choose again.")
        return HttpResponseRedirect(request.get_full_path())


def _can_be(key: Any, text: str) -> bool:
    try:
        key.clean(text, None)
    except ValidationError:
        return False
    return "\0" not in text


class LongList(CheckedChoice):
    """A list that is counted no further than needed, and not twice."""

    paginator = CappedPaginator
    show_full_result_count = False
    list_fullwidth = True
    list_filter_sheet = True
    list_filter_submit = True
    list_per_page = 50

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Any]:
        """The list that counts only once."""
        return CountedOnce


class ReadOnly(ModelAdmin):
    """Rows that the product writes: people look, and have buttons for what they may do."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds one by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes one by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes one by hand."""
        return False
