"""The ads list's filters and its count, so that a hundred thousand ads are one quick page."""

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.contrib.filters.admin import DropdownFilter
from unfold.views import ChangeList

from adserver.admin.words import GENDER_NAMES, PLATFORM_NAMES, country_choices
from adserver.models import Ad
from adserver.selectors import ads_matching

Choices = list[tuple[str, str]]
COUNT_MAX = 100_000


class CappedPaginator(Paginator):  # type: ignore[type-arg] # not generic when it runs
    """Counts no further than `COUNT_MAX` rows: nobody turns that many pages, and counting a
    million on every click would be most of the page's time.
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


class _MatchingFilter(DropdownFilter):
    """A filter that means the same as the API's parameter of that name."""

    names: Choices = []

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        """The values to choose from."""
        return self.names

    def queryset(self, request: HttpRequest, queryset: QuerySet[Ad]) -> QuerySet[Ad]:
        """The ads that accept the value chosen; all when it is none of ours."""
        value = self.value()
        if value not in dict(self.lookup_choices):
            return queryset
        return ads_matching(ads=queryset, **{self.parameter_name: value})


class StateFilter(_MatchingFilter):
    """Scheduled, live or ended, by the clock."""

    title = "state"
    parameter_name = "state"
    names = [("live", "Live"), ("scheduled", "Scheduled"), ("ended", "Ended")]


class CountryFilter(_MatchingFilter):
    """Ads that a visitor from this country can see."""

    title = "country of the visitor"
    parameter_name = "country"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        """All countries."""
        return country_choices()


class GenderFilter(_MatchingFilter):
    """Ads that a visitor of this gender can see."""

    title = "gender of the visitor"
    parameter_name = "gender"
    names = list(GENDER_NAMES.items())


class PlatformFilter(_MatchingFilter):
    """Ads that a visitor on this platform can see."""

    title = "platform of the visitor"
    parameter_name = "platform"
    names = list(PLATFORM_NAMES.items())
