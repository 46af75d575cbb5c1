"""What the OpenAPI schema says about the counters' endpoints."""

from functools import partial

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
)
from rest_framework.serializers import ListSerializer

from commons.schema import faults, retry_after
from counters.api import shapes
from counters.queries import GRANULARITIES, GRANULARITY_DEFAULT, KEYS_MAX
from counters.records import BATCH_MAX, IDEMPOTENCY_KEY_CHARACTERS_MAX

_MEANINGS = {
    400: "The request is not valid; `msg` names the field and says why. Nothing was accepted.",
    401: "This deployment asks for an API key.",
    429: "Too many requests; again after `Retry-After` s.",
    503: "A store is down or full, nothing was accepted; again after `Retry-After` s.",
}
_faults = partial(faults, shapes.CounterFault, _MEANINGS)
_WRITE = (400, 401, 413, 429, 503, 504)
_READ = (400, 431, 503)


_IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_CHARACTERS_MAX},
    OpenApiParameter.HEADER,
    description="What is sent again under the same key within 24 hours counts once.",
)
_RETRY_AFTER = retry_after(429, 503)
_RETRY_READ = retry_after(503)
_KEY = OpenApiParameter("key", OpenApiTypes.UUID, OpenApiParameter.PATH)
_EXAMPLE = {"key": "7d6b1f2e-5f0c-4c0e-9d3a-0f3f1a6f6a11", "value": 3}

increment = extend_schema(
    operation_id="counter_increment",
    summary="Add to a counter",
    tags=["counters"],
    auth=[],
    request=shapes.IncrementInput,
    parameters=[_IDEMPOTENCY_KEY, _RETRY_AFTER],
    responses={200: shapes.Accepted, **_faults(*_WRITE)},
    examples=[OpenApiExample("Three more", request_only=True, value=_EXAMPLE)],
)

increment_batch = extend_schema(
    operation_id="counter_increment_batch",
    summary="Add to many counters, or to none",
    tags=["counters"],
    auth=[],
    request=ListSerializer(child=shapes.IncrementInput(), max_length=BATCH_MAX),
    parameters=[_IDEMPOTENCY_KEY, _RETRY_AFTER],
    responses={200: shapes.BatchAccepted, **_faults(*_WRITE)},
)

total = extend_schema(
    operation_id="counter_total",
    summary="A counter's total",
    tags=["counters"],
    auth=[],
    parameters=[_KEY, _RETRY_READ],
    responses={200: shapes.Total, **_faults(*_READ)},
)

totals = extend_schema(
    operation_id="counter_totals",
    summary="Many totals at once",
    tags=["counters"],
    auth=[],
    parameters=[
        OpenApiParameter(
            "key",
            {
                "type": "array",
                "items": {"type": "string", "format": "uuid"},
                "minItems": 1,
                "maxItems": KEYS_MAX,
            },
            required=True,
            description="Once for each counter.",
        ),
        _RETRY_READ,
    ],
    responses={200: shapes.Totals, **_faults(*_READ)},
)

history = extend_schema(
    operation_id="counter_history",
    summary="By how much a counter grew, and when",
    tags=["counters"],
    auth=[],
    parameters=[
        _KEY,
        OpenApiParameter("granularity", str, enum=list(GRANULARITIES), default=GRANULARITY_DEFAULT),
        OpenApiParameter(
            "start",
            OpenApiTypes.DATETIME,
            description="By default 60 minutes, 48 hours or 30 days before `end`.",
        ),
        OpenApiParameter("end", OpenApiTypes.DATETIME, description="By default now."),
        _RETRY_READ,
    ],
    responses={200: shapes.CounterHistory, **_faults(*_READ)},
)
