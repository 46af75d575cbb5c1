"""The ads list's filters."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from adserver.admin.words import GENDER_NAMES, PLATFORM_NAMES, country_choices
from adserver.models import Ad
from adserver.selectors import ads_matching

Choices = list[tuple[str, str]]


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
