"""Middleware that settles what a request's body is before any view reads it."""

from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponseBase

from config.faults import bad_request

Handler = Callable[[HttpRequest], HttpResponseBase]


def settle_body(get_response: Handler) -> Handler:
    """Refuses bodies beyond the limit with 413, and counts those that come in chunks: the REST
    framework takes a body without a length for none. Without a type, the API takes it for JSON.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        meta = request.META
        if "HTTP_TRANSFER_ENCODING" in meta and not meta.get("CONTENT_LENGTH"):
            meta["CONTENT_LENGTH"] = str(len(request.body))
        if _length_bytes(request) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return bad_request(request, RequestDataTooBig())
        if request.path_info.startswith("/api/") and not meta.get("CONTENT_TYPE"):
            meta["CONTENT_TYPE"] = "application/json"
        return get_response(request)

    return middleware


def _length_bytes(request: HttpRequest) -> int:
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0
