"""What the OpenAPI schema says about each endpoint: parameters, bodies, every answer."""

from functools import partial
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.serializers import ListSerializer

from adserver.api import shapes
from adserver.api.queries import (
    ORDERING_DEFAULT,
    ORDERINGS,
    PAGE_MAX,
    PAGE_SIZE_DEFAULT,
    PAGE_SIZE_MAX,
    STATES,
    TEXT_CHARACTERS_MAX,
)
from adserver.countries import COUNTRIES
from adserver.fastpath import LIMIT_DEFAULT, LIMIT_MAX
from adserver.records import GENDERS, PLATFORMS, VISITOR_AGE_MAX
from adserver.services import IMPORT_ROWS_MAX
from commons.schema import answer_header, faults, retry_after

_MEANINGS = {
    400: "The request is not valid; `msg` names the field and says why.",
    401: "Neither a token nor a session.",
    403: "No permission, or a session without its CSRF token.",
    404: "There is no such thing.",
    415: "The body is of another type.",
    503: "No database, or a long import in the way; nothing accepted. Again after `Retry-After` s.",
}
_faults = partial(faults, shapes.Fault, _MEANINGS)
_READ = (400, 401, 403, 431, 503)
_ITEM = (401, 403, 404, 503)
_WRITE = (400, 401, 403, 413, 415, 503, 504)


def _number(
    name: str, least: int, most: int | None, default: int | None, what: str
) -> OpenApiParameter:
    bounds: dict[str, Any] = {"type": "integer", "minimum": least}
    if most is not None:
        bounds["maximum"] = most
    return OpenApiParameter(name, bounds, default=default, description=what)


def _choice(name: str, values: Any, what: str, default: str | None = None) -> OpenApiParameter:
    return OpenApiParameter(name, str, enum=list(values), description=what, default=default)


def _version(status: int) -> OpenApiParameter:
    what = "The catalog's version: the one that answered, or the one with this write in it."
    return answer_header("X-Catalog-Version", {"type": "integer", "minimum": 0}, what, status)


_RETRY_AFTER = retry_after(503)
_PAGING = [
    _number("page", 1, PAGE_MAX, 1, "Beyond the last page: 404."),
    _number("page_size", 1, PAGE_SIZE_MAX, PAGE_SIZE_DEFAULT, "Entries on a page."),
    _RETRY_AFTER,
]
_WRITTEN = [_version(200), _RETRY_AFTER]

lookup = extend_schema(
    operation_id="ads_for_visitor",
    summary="Ads for a visitor",
    tags=["visitors"],
    auth=[],
    parameters=[
        _number("age", 1, VISITOR_AGE_MAX, None, "The visitor's age in years."),
        _choice("country", sorted(COUNTRIES), "ISO 3166-1 alpha-2."),
        _choice("gender", GENDERS, "The visitor's gender."),
        _choice("platform", PLATFORMS, "What the visitor uses."),
        _number("offset", 0, None, 0, "Matches to pass over."),
        _number("limit", 1, LIMIT_MAX, LIMIT_DEFAULT, "Most ads to answer with."),
        _version(200),
        _RETRY_AFTER,
    ],
    responses={
        200: shapes.AdAnswer,
        **_faults(400, 431),
        503: OpenApiResponse(shapes.Fault, description="The catalog is not loaded yet."),
    },
)

create_public = extend_schema(
    operation_id="ad_create",
    summary="Create an ad",
    tags=["operators"],
    request=shapes.AdInput,
    parameters=[_version(201), _RETRY_AFTER],
    responses={201: shapes.AdCreated, **_faults(*_WRITE)},
    examples=[
        OpenApiExample(
            "An ad for some",
            request_only=True,
            value={
                "title": "Bubble tea club",
                "content": "Every tenth cup is on us.",
                "start_at": "2026-12-01T00:00:00Z",
                "end_at": "2026-12-31 16:00:00 +0800 CST",
                "age_start": 16,
                "age_end": 35,
                "country": ["TW", "JP"],
                "platform": ["ios"],
            },
        )
    ],
)

list_ads = extend_schema(
    operation_id="ads_list",
    summary="List ads",
    tags=["operators"],
    parameters=[
        _choice("state", STATES, "By the clock, now."),
        _choice("country", sorted(COUNTRIES), "Ads that accept visitors from there."),
        _choice("gender", GENDERS, "Ads that accept it."),
        _choice("platform", PLATFORMS, "Ads that accept it."),
        OpenApiParameter(
            "q",
            {"type": "string", "maxLength": TEXT_CHARACTERS_MAX},
            description="Text in the title or the content, whatever its case.",
        ),
        _choice(
            "ordering",
            [*ORDERINGS, *(f"-{name}" for name in ORDERINGS)],
            "The field to sort by; with `-` the largest first. Equal ones go by `id`.",
            ORDERING_DEFAULT,
        ),
        *_PAGING,
    ],
    responses={200: shapes.AdPage, **_faults(404, *_READ)},
)

create = extend_schema(
    operation_id="ads_create",
    summary="Create an ad, and get it back",
    tags=["operators"],
    request=shapes.AdInput,
    parameters=[
        _version(201),
        answer_header("Location", OpenApiTypes.URI, "Where the new ad is.", 201),
        _RETRY_AFTER,
    ],
    responses={201: shapes.OperatorAd, **_faults(*_WRITE)},
)

retrieve = extend_schema(
    operation_id="ads_retrieve",
    summary="One ad",
    tags=["operators"],
    parameters=[_RETRY_AFTER],
    responses={200: shapes.OperatorAd, **_faults(*_ITEM)},
)

replace = extend_schema(
    operation_id="ads_replace",
    summary="Replace an ad",
    tags=["operators"],
    request=shapes.AdInput,
    parameters=_WRITTEN,
    responses={200: shapes.OperatorAd, **_faults(404, *_WRITE)},
)

change = extend_schema(
    operation_id="ads_change",
    summary="Change an ad",
    tags=["operators"],
    request=shapes.AdInput,
    parameters=_WRITTEN,
    responses={200: shapes.OperatorAd, **_faults(404, *_WRITE)},
)

delete = extend_schema(
    operation_id="ads_delete",
    summary="Delete an ad",
    tags=["operators"],
    parameters=[_version(204), _RETRY_AFTER],
    responses={
        204: OpenApiResponse(description="The ad is deleted; its history stays."),
        **_faults(*_ITEM),
    },
)

history = extend_schema(
    operation_id="ads_history",
    summary="Who changed an ad, when and what",
    tags=["operators"],
    parameters=_PAGING,
    responses={200: shapes.ChangePage, **_faults(404, *_READ)},
)

import_ads = extend_schema(
    operation_id="ads_import",
    summary="Import many ads, or none",
    tags=["operators"],
    request={
        "application/json": ListSerializer(child=shapes.AdInput(), max_length=IMPORT_ROWS_MAX),
        "text/csv": OpenApiTypes.STR,
    },
    parameters=[
        OpenApiParameter(
            "dry_run", bool, default=False, description="Only check the rows: 200, nothing written."
        ),
        _version(201),
        _RETRY_AFTER,
    ],
    responses={
        200: OpenApiResponse(shapes.DryRun, description="With `dry_run=true`."),
        201: shapes.Imported,
        **_faults(*_WRITE),
        400: OpenApiResponse(shapes.ImportFault, description="`errors` names every bad row."),
    },
)
