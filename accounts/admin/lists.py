"""What the lists of people share, so that ten million of them are one quick page."""

from datetime import datetime
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.timezone import localtime
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


class LongList(ModelAdmin):
    """A list that may be very long: counted no further than needed, and not twice."""

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


def moment_words(moment: datetime | None) -> str:
    """A time in the admin's zone, to the minute: `21 Nov 2026 07:40`; `never` for none."""
    return date_format(localtime(moment), "j M Y H:i") if moment else "never"


def device_words(ended: int) -> str:
    """That so many sessions were ended."""
    return "1 device logged out." if ended == 1 else f"{ended} devices logged out."
