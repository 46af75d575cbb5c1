"""Pieces of what the OpenAPI schema says about endpoints."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

# What these statuses mean wherever they are answered.
_EVERYWHERE = {
    413: "The body is too large.",
    431: "The request line and the headers are too large.",
    504: "A store went away and cannot say whether this was done: look before you send it again.",
}


def faults(shape: Any, meanings: Mapping[int, str], *statuses: int) -> dict[int, OpenApiResponse]:
    """Answers of these statuses with a body of that shape; `meanings` are those of this domain."""
    words = {**_EVERYWHERE, **meanings}
    return {status: OpenApiResponse(shape, description=words[status]) for status in statuses}


def answer_header(name: str, kind: Any, what: str, *statuses: int) -> OpenApiParameter:
    """A header of the answers with these statuses."""
    return OpenApiParameter(
        name, kind, OpenApiParameter.HEADER, description=what, response=list(statuses)
    )


def retry_after(*statuses: int) -> OpenApiParameter:
    """That these answers say when to come again."""
    return answer_header("Retry-After", {"type": "integer"}, "Seconds to wait.", *statuses)
