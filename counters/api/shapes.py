"""The shapes of requests and answers, for the OpenAPI schema only.

What is valid is decided by `counters.records` and `counters.queries`; the tests send what the
schema promises to the real thing.
"""

from typing import Any

from rest_framework import serializers

from counters.queries import BUCKETS_MAX, GRANULARITIES, KEYS_MAX
from counters.records import BATCH_MAX, VALUE_MAX

_TOTAL: dict[str, Any] = {"min_value": 0, "max_value": VALUE_MAX}


class IncrementInput(serializers.Serializer[Any]):
    """Add `value` to the counter `key`. No other fields."""

    key = serializers.UUIDField()
    value = serializers.IntegerField(min_value=1, max_value=VALUE_MAX)


class Accepted(serializers.Serializer[Any]):
    """The increment is safe."""


class BatchAccepted(serializers.Serializer[Any]):
    """All increments are safe."""

    accepted = serializers.IntegerField(min_value=0, max_value=BATCH_MAX)


class Total(serializers.Serializer[Any]):
    """A counter's total; 0 for one that nobody ever incremented."""

    key = serializers.UUIDField()
    value = serializers.IntegerField(**_TOTAL)
    as_of = serializers.DateTimeField(
        help_text="What was acknowledged later than this may be missing."
    )


class Totals(serializers.Serializer[Any]):
    """The totals, in the order asked for."""

    counters = serializers.ListField(child=Total(), max_length=KEYS_MAX)


class Bucket(serializers.Serializer[Any]):
    """By how much the counter grew in a minute, an hour or a day (UTC) that begins at `start`."""

    start = serializers.DateTimeField()
    value = serializers.IntegerField(**_TOTAL)


class CounterHistory(serializers.Serializer[Any]):
    """Every bucket from `start` to before `end`, also those in which nothing happened."""

    key = serializers.UUIDField()
    granularity = serializers.ChoiceField(choices=GRANULARITIES)
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    buckets = serializers.ListField(child=Bucket(), max_length=BUCKETS_MAX)


class CounterFault(serializers.Serializer[Any]):
    """Something is wrong."""

    msg = serializers.CharField(help_text="`<field>: <what is wrong with it>`")
