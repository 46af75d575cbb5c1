"""What the lists of counters and dead letters have in common: read only, quick at any size."""

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

COUNT_MAX = 10_000


class CappedPaginator(Paginator):  # type: ignore[type-arg] # not generic when it runs
    """Counts no further than `COUNT_MAX` rows: counting ten million would take the page's time."""

    @cached_property
    def count(self) -> int:
        """How many rows there are, at most `COUNT_MAX`."""
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by()[:COUNT_MAX].count()


class CountedOnce(ChangeList):
    """A list that never asks how many rows there are without the filters."""

    def get_results(self, request: HttpRequest) -> None:
        """Count and read one page."""
        super().get_results(request)
        self.full_result_count = self.result_count


class ReadOnlyAdmin(ModelAdmin):
    """A table that is written elsewhere."""

    list_fullwidth = True
    list_per_page = 50
    paginator = CappedPaginator
    show_full_result_count = False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Any]:
        """The list that counts only once."""
        return CountedOnce

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes by hand."""
        return False
