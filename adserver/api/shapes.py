"""The shapes of requests and answers, for the OpenAPI schema only.

What is valid is decided by `adserver.records`; its limits are repeated here for readers of the
schema, and the tests send what the schema promises to the real thing.
"""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from adserver.api.queries import STATES
from adserver.countries import COUNTRIES
from adserver.models import AdChange
from adserver.records import (
    AGE_MAX,
    AGE_MIN,
    CONTENT_CHARACTERS_MAX,
    GENDERS,
    PLATFORMS,
    TITLE_CHARACTERS,
)
from adserver.services import IMPORT_ROWS_MAX


@extend_schema_field(
    {
        "anyOf": [
            {"type": "string", "format": "date-time"},
            {
                "type": "string",
                "pattern": r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,9})? [+-]\d{4}( [A-Z]{1,5})?$",
            },
        ],
        "description": "RFC 3339, or the layout `2006-01-02 15:04:05 +0800 CST`.",
        "example": "2026-12-31T16:00:00Z",
    }
)
class MomentField(serializers.CharField):
    """A time in one of the two layouts that are read."""


class EmptyListField(serializers.ListField):
    """A condition: the values it accepts, none of them meaning everybody."""

    def __init__(self, choices: Any, **options: Any) -> None:
        super().__init__(
            child=serializers.ChoiceField(choices=choices),
            help_text="Empty means everybody.",
            **options,
        )


class AdInput(serializers.Serializer[Any]):
    """What an operator decides about an ad."""

    title = serializers.CharField(min_length=TITLE_CHARACTERS[0], max_length=TITLE_CHARACTERS[1])
    content = serializers.CharField(max_length=CONTENT_CHARACTERS_MAX, allow_blank=True)
    start_at = MomentField(help_text="Shown from this moment on; earlier than `end_at`.")
    end_at = MomentField(help_text="Not shown any more from this moment on.")
    age_start = serializers.IntegerField(min_value=AGE_MIN, max_value=AGE_MAX, default=AGE_MIN)
    age_end = serializers.IntegerField(min_value=AGE_MIN, max_value=AGE_MAX, default=AGE_MAX)
    gender = EmptyListField(GENDERS, required=False)
    country = EmptyListField(sorted(COUNTRIES), required=False)
    platform = EmptyListField(PLATFORMS, required=False)


class ServedAd(serializers.Serializer[Any]):
    """An ad as visitors get it. Times are in UTC."""

    id = serializers.UUIDField()
    title = serializers.CharField()
    content = serializers.CharField(allow_blank=True)
    start_at = serializers.DateTimeField()
    end_at = serializers.DateTimeField()
    age_start = serializers.IntegerField(min_value=AGE_MIN, max_value=AGE_MAX)
    age_end = serializers.IntegerField(min_value=AGE_MIN, max_value=AGE_MAX)
    gender = EmptyListField(GENDERS)
    country = EmptyListField(sorted(COUNTRIES))
    platform = EmptyListField(PLATFORMS)
    version = serializers.IntegerField(
        min_value=1, help_text="The catalog's version that the ad was last written in."
    )
    created_at = serializers.DateTimeField()


class AdAnswer(serializers.Serializer[Any]):
    """The ads that fit a visitor."""

    ads = ServedAd(many=True)
    total = serializers.IntegerField(min_value=0, help_text="All matches, not only this page.")


class OperatorAd(ServedAd):
    """An ad as operators get it."""

    state = serializers.ChoiceField(choices=STATES)
    updated_at = serializers.DateTimeField()


class AdCreated(serializers.Serializer[Any]):
    """An ad was created."""

    msg = serializers.CharField()
    data = serializers.UUIDField(  # type: ignore[assignment] # hides what nobody calls here
        help_text="The new ad's id."
    )


class Page(serializers.Serializer[Any]):
    """One page of a list."""

    count = serializers.IntegerField(min_value=0, help_text="Entries on all pages together.")
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)


class AdPage(Page):
    """One page of ads."""

    results = OperatorAd(many=True)


class Change(serializers.Serializer[Any]):
    """One change of an ad."""

    version = serializers.IntegerField(min_value=1)
    operation = serializers.ChoiceField(choices=AdChange.Operation.values)
    actor = serializers.CharField(help_text="The operator's name, or the part of the system.")
    at = serializers.DateTimeField()
    before = ServedAd(allow_null=True)
    after = ServedAd(allow_null=True)
    changed = serializers.DictField(help_text="A field's name to its value `before` and `after`.")


class ChangePage(Page):
    """One page of an ad's history."""

    results = Change(many=True)


class RowFault(serializers.Serializer[Any]):
    """What is wrong with one row."""

    row = serializers.IntegerField(
        min_value=1, max_value=IMPORT_ROWS_MAX, help_text="From 1; a CSV's header does not count."
    )
    msg = serializers.CharField()


class Imported(serializers.Serializer[Any]):
    """All rows were imported."""

    created = serializers.IntegerField(min_value=0, max_value=IMPORT_ROWS_MAX)
    ids = serializers.ListField(child=serializers.UUIDField(), help_text="In the rows' order.")


class DryRun(serializers.Serializer[Any]):
    """What an import would say."""

    rows = serializers.IntegerField(min_value=0, max_value=IMPORT_ROWS_MAX)
    errors = RowFault(many=True)  # type: ignore[assignment]


class Fault(serializers.Serializer[Any]):
    """Something is wrong."""

    msg = serializers.CharField(help_text="`<field>: <what is wrong with it>`")


class ImportFault(Fault):
    """Nothing was imported."""

    errors = RowFault(many=True, required=False)  # type: ignore[assignment]
