"""Filters that several lists of the admin have."""

from datetime import timedelta
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter

_SINCE = [("1", "Last 24 hours"), ("7", "Last 7 days"), ("30", "Last 30 days")]


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
