"""Filters that several lists of the admin have."""

from datetime import timedelta
from typing import Any, ClassVar

from django.db.models import Choices, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter

_SINCE = [("1", "Last 24 hours"), ("7", "Last 7 days"), ("30", "Last 30 days")]


class ChoiceFilter(DropdownFilter):
    """One of `all_choices` of the field that the parameter is named after."""

    all_choices: ClassVar[type[Choices]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Each of them."""
        return [(value, label.capitalize()) for value, label in self.all_choices.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """The rows with the chosen one; all when there is none such."""
        if self.value() not in self.all_choices.values:
            return queryset
        return queryset.filter(**{self.parameter_name: self.value()})


class SinceFilter(DropdownFilter):
    """How long ago, at most, by the time in `field`, which a subclass names."""

    title = "when"
    parameter_name = "days"
    field: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """The lengths of time to choose from."""
        return _SINCE

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """The rows since then."""
        if self.value() not in dict(_SINCE):
            return queryset
        since = timezone.now() - timedelta(days=int(self.value()))
        return queryset.filter(**{f"{self.field}__gte": since})
