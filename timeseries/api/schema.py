"""What the OpenAPI schema says about the time series' endpoints."""

from functools import partial
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
)
from rest_framework.serializers import ListSerializer

from commons.schema import faults, retry_after
from timeseries.api import shapes
from timeseries.grafana import TAGS_MAX
from timeseries.messages import BATCH_MAX
from timeseries.records import (
    AGGREGATES,
    SAMPLES_DEFAULT,
    SAMPLES_MAX,
    TAG_CHARACTERS_MAX,
    TIME_MAX_NS,
)

_MEANINGS = {
    400: "The request is not valid; `msg` names the field and says why.",
    401: "This deployment asks for an API key.",
    404: "Nothing was ever stored under this tag.",
    429: "Too many requests; again after `Retry-After` s.",
    503: "A store is down, full or too slow; again after `Retry-After` s. Nothing was accepted.",
}
_faults = partial(faults, shapes.SeriesFault, _MEANINGS)
_WRITE = (400, 401, 413, 429, 503, 504)
_READ = (400, 404, 431, 503)


def _number(
    name: str, most: int, what: str, *, default: int | None = None, least: int = 0
) -> OpenApiParameter:
    bounds: dict[str, Any] = {"type": "integer", "minimum": least, "maximum": most}
    return OpenApiParameter(
        name, bounds, required=default is None, default=default, description=what
    )


_TAG_SHAPE = {"type": "string", "minLength": 1, "maxLength": TAG_CHARACTERS_MAX}
_TAG = OpenApiParameter("tag", _TAG_SHAPE, required=True)
_START = _number("start", TIME_MAX_NS, "Nanoseconds since 1970, no further back than is kept.")
_END = _number("end", TIME_MAX_NS, "Nanoseconds since 1970, after `start`.")
_SAMPLES = _number("samples", SAMPLES_MAX, "How many samples.", default=SAMPLES_DEFAULT, least=1)
_AGGREGATE = OpenApiParameter(
    "agg",
    str,
    enum=list(AGGREGATES),
    default=AGGREGATES[0],
    description="What a sample is made of.",
)

save = extend_schema(
    operation_id="measurement_save",
    summary="Save a measurement",
    tags=["time series"],
    auth=[],
    request=shapes.Message,
    parameters=[retry_after(429, 503)],
    responses={200: shapes.Saved, **_faults(*_WRITE)},
    examples=[
        OpenApiExample(
            "Two values",
            request_only=True,
            value={"time": 1_790_000_000_000_000_000, "tag": "boiler-7", "values": [81.5, 2.25]},
        )
    ],
)

save_batch = extend_schema(
    operation_id="measurement_save_batch",
    summary="Save many measurements, or none",
    tags=["time series"],
    auth=[],
    request={
        "application/json": ListSerializer(child=shapes.Message(), max_length=BATCH_MAX),
        "application/x-ndjson": OpenApiTypes.STR,
    },
    parameters=[retry_after(429, 503)],
    responses={200: shapes.BatchSaved, **_faults(*_WRITE)},
)

sample = extend_schema(
    operation_id="samples",
    summary="Samples of a tag",
    tags=["time series"],
    auth=[],
    parameters=[_TAG, _START, _END, _SAMPLES, _AGGREGATE, retry_after(503)],
    responses={200: shapes.Samples, **_faults(*_READ)},
)

tags = extend_schema(
    operation_id="tags",
    summary="All tags",
    tags=["time series"],
    auth=[],
    parameters=[retry_after(503)],
    responses={200: shapes.Tags, **_faults(503)},
)

export = extend_schema(
    operation_id="measurements_export",
    summary="Raw measurements of a tag",
    tags=["time series"],
    auth=[],
    parameters=[
        _TAG,
        _START,
        _END,
        OpenApiParameter("format", str, enum=["csv", "ndjson"], default="csv"),
        retry_after(503),
    ],
    responses={
        (200, "text/csv"): OpenApiTypes.STR,
        (200, "application/x-ndjson"): OpenApiTypes.STR,
        **_faults(*_READ),
    },
)

grafana_alive = extend_schema(
    operation_id="grafana_alive",
    summary="That the data source is there",
    tags=["Grafana"],
    auth=[],
    responses={200: shapes.Saved},
)

grafana_rows = extend_schema(
    operation_id="grafana_rows",
    summary="Samples as flat rows, for Infinity",
    tags=["Grafana"],
    auth=[],
    parameters=[
        OpenApiParameter(
            "tag",
            {"type": "array", "items": _TAG_SHAPE, "minItems": 1, "maxItems": TAGS_MAX},
            required=True,
            description="Once for each tag.",
        ),
        _number("from", TIME_MAX_NS // 1_000_000, "Milliseconds since 1970: `${__from}`."),
        _number("to", TIME_MAX_NS // 1_000_000, "Milliseconds since 1970: `${__to}`."),
        _SAMPLES,
        _AGGREGATE,
        retry_after(503),
    ],
    responses={200: OpenApiTypes.OBJECT, **_faults(*_READ)},
)

_METRICS: dict[str, Any] = {
    "tags": ["Grafana"],
    "auth": [],
    "request": OpenApiTypes.OBJECT,
    "parameters": [retry_after(503)],
    "responses": {200: {"type": "array", "items": _TAG_SHAPE}, **_faults(503)},
}
grafana_metrics = extend_schema(
    operation_id="grafana_metrics", summary="The tags that a panel can ask for", **_METRICS
)
grafana_search = extend_schema(
    operation_id="grafana_search", summary="The tags, as Grafana once asked for them", **_METRICS
)

grafana_query = extend_schema(
    operation_id="grafana_query",
    summary="A panel's targets, for the JSON data source",
    tags=["Grafana"],
    auth=[],
    request=shapes.GrafanaPanel,
    parameters=[retry_after(503)],
    responses={200: shapes.GrafanaSeries(many=True), **_faults(*_READ)},
)
