"""The shapes of requests and answers, for the OpenAPI schema only.

What is valid is decided by `timeseries.messages` and `timeseries.queries`; the tests send what the
schema promises to the real thing.
"""

from typing import Any

from rest_framework import serializers

from timeseries.grafana import TAGS_MAX
from timeseries.messages import BATCH_MAX
from timeseries.records import (
    AGGREGATES,
    SAMPLES_MAX,
    TAG_CHARACTERS_MAX,
    TIME_MAX_NS,
    VALUES_MAX,
)

_TIME: dict[str, Any] = {
    "min_value": 0,
    "max_value": TIME_MAX_NS,
    "help_text": "Nanoseconds since 1970.",
}


class SeriesFault(serializers.Serializer[Any]):
    """What is wrong, and with which field."""

    msg = serializers.CharField()


class Message(serializers.Serializer[Any]):
    """The values of a tag at a time. No other fields."""

    time = serializers.IntegerField(**_TIME)
    tag = serializers.CharField(min_length=1, max_length=TAG_CHARACTERS_MAX)
    values = serializers.ListField(
        child=serializers.FloatField(), min_length=1, max_length=VALUES_MAX
    )


class Saved(serializers.Serializer[Any]):
    """The measurement is safe."""


class BatchSaved(serializers.Serializer[Any]):
    """All measurements are safe."""

    accepted = serializers.IntegerField(min_value=0, max_value=BATCH_MAX)


class SampleShape(serializers.Serializer[Any]):
    """One sample; `values` is null where the tag has nothing to say."""

    time = serializers.IntegerField(**_TIME)
    values = serializers.ListField(
        child=serializers.FloatField(), max_length=VALUES_MAX, allow_null=True
    )


class Samples(serializers.Serializer[Any]):
    """A tag's samples over an interval."""

    tagName = serializers.CharField()  # noqa: N815 - the API's name for it
    start = serializers.IntegerField(**_TIME)
    end = serializers.IntegerField(**_TIME)
    samples = serializers.ListField(child=SampleShape(), max_length=SAMPLES_MAX)


class TagShape(serializers.Serializer[Any]):
    """What is kept of one tag."""

    tag = serializers.CharField()
    first = serializers.IntegerField(**_TIME)
    last = serializers.IntegerField(**_TIME)
    count = serializers.IntegerField(min_value=0)


class Tags(serializers.Serializer[Any]):
    """All tags that have measurements, by name."""

    tags = serializers.ListField(child=TagShape())


class GrafanaRange(serializers.Serializer[Any]):
    """The dashboard's interval; `from` and `to`, RFC 3339."""

    def get_fields(self) -> dict[str, Any]:
        """`from` is a word of Python, so the fields are not class attributes."""
        return {"from": serializers.DateTimeField(), "to": serializers.DateTimeField()}


class GrafanaOptions(serializers.Serializer[Any]):
    """What a target may add: an aggregate, and one element of the values, counted from 1."""

    agg = serializers.ChoiceField(choices=AGGREGATES, required=False)
    element = serializers.IntegerField(min_value=1, max_value=VALUES_MAX, required=False)


class GrafanaTarget(serializers.Serializer[Any]):
    """A tag that a panel shows."""

    target = serializers.CharField(max_length=TAG_CHARACTERS_MAX)
    payload = GrafanaOptions(required=False)


class GrafanaPanel(serializers.Serializer[Any]):
    """What Grafana's JSON data source posts."""

    range = GrafanaRange()
    targets = serializers.ListField(child=GrafanaTarget(), max_length=TAGS_MAX)
    maxDataPoints = serializers.IntegerField(  # noqa: N815 - Grafana's name for it
        min_value=1, required=False
    )


class GrafanaSeries(serializers.Serializer[Any]):
    """One element of a tag: pairs of a value and milliseconds since 1970."""

    target = serializers.CharField()
    datapoints = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField(), min_length=2, max_length=2)
    )
