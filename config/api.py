"""How the REST API speaks: JSON in, JSON out, every error `{"msg": "<field>: <what is wrong>"}`."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import IO, Any, NamedTuple

import orjson
import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DataError
from django.http import Http404, HttpResponse, UnreadablePostError
from rest_framework import exceptions
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from accounts.errors import (
    BadCredentialsError,
    InvalidFieldError,
    LockedError,
    SessionEndedError,
)
from accounts.images import InvalidImageError
from adserver.records import InvalidAdError
from adserver.rows import RowsError
from adserver.services import TooManyRowsError
from commons.patience import is_uncertain
from config.doors import response_of
from config.faults import (
    RETRY_AFTER_S,
    STORE_AWAY,
    STORE_AWAY_MSG,
    TOO_LARGE_MSG,
    UNCERTAIN_MSG,
    UNSTORABLE_MSG,
)
from counters.queries import InvalidQuestionError
from runtime.errors import BusyError, ConflictError, NotFoundError, UncertainError
from runtime.http.errors import error_answer
from runtime.strict_json import InvalidBodyError, decode_json

log = structlog.get_logger(__name__)


class OrjsonRenderer(BaseRenderer):
    """JSON, times in UTC with `Z`."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """The bytes of `data`; none for None."""
        if data is None:
            return b""
        try:
            return orjson.dumps(data, default=str, option=orjson.OPT_UTC_Z)
        except orjson.JSONEncodeError:
            # Lone surrogates and huge numbers, both possible in an echo of bad input.
            return json.dumps(data, default=str).encode()


class StrictJSONParser(BaseParser):
    """JSON by the letter of RFC 8259, see `runtime.strict_json`."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """The decoded body. InvalidBodyError says what is wrong with it; RequestDataTooBig when it
        is larger than the view's `json_bytes_most`, if that says so.
        """
        view = (parser_context or {}).get("view")
        most: int | None = getattr(view, "json_bytes_most", None)
        body = stream.read(-1 if most is None else most + 1)
        if most is not None and len(body) > most:
            raise RequestDataTooBig
        return decode_json(body)


_STATUS_OF: tuple[tuple[type[Exception] | tuple[type[Exception], ...], int], ...] = (
    ((InvalidAdError, RowsError, TooManyRowsError, InvalidQuestionError), 400),
    ((InvalidBodyError, InvalidFieldError, InvalidImageError), 400),
    ((BadCredentialsError, SessionEndedError), 401),
    (NotFoundError, 404),
    (ConflictError, 409),
    (BusyError, 503),
    (UncertainError, 504),
)
_MSG_OF: tuple[tuple[type[Exception] | tuple[type[Exception], ...], int, str], ...] = (
    (STORE_AWAY, 503, STORE_AWAY_MSG),
    (DataError, 400, UNSTORABLE_MSG),
    (RequestDataTooBig, 413, TOO_LARGE_MSG),
    (UnreadablePostError, 400, "body: ends too early"),
    (SuspiciousOperation, 400, "request: is not valid"),
    (Http404, 404, "path: there is nothing here"),
    (PermissionDenied, 403, "authorization: you may not do this"),
)


class Fault(NamedTuple):
    """What is told of an exception, and after how many seconds it is worth trying again."""

    status: int
    msg: str
    retry_after_s: int | None = None


def fault_of(exc: Exception) -> Fault | None:
    """The answer to an exception that is no framework's; None for what nobody foresaw."""
    if isinstance(exc, LockedError):
        return Fault(429, str(exc), exc.retry_after_s)
    for kinds, status in _STATUS_OF:
        if isinstance(exc, kinds):
            return _fault(status, str(exc))
    if is_uncertain(exc):
        return _fault(504, UNCERTAIN_MSG)
    for kinds, status, msg in _MSG_OF:
        if isinstance(exc, kinds):
            return _fault(status, msg)
    return None


def _fault(status: int, msg: str) -> Fault:
    return Fault(status, msg, RETRY_AFTER_S if status == HTTPStatus.SERVICE_UNAVAILABLE else None)


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """The answer to any exception of a view, in JSON whatever the view speaks; what nobody foresaw
    is logged, and told nothing of.
    """
    if isinstance(exc, exceptions.APIException):
        return _response(exc.status_code, framework_msg(exc, context), _headers(exc))
    fault = fault_of(exc)
    if fault is None:
        log.error("unhandled error", path=context["request"].path, exc_info=exc)
        fault = Fault(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error")
    wait = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
    return _response(fault.status, fault.msg, wait)


def _response(status: int, msg: str, headers: dict[str, str]) -> HttpResponse:
    response = response_of(error_answer(status, msg))
    for name, value in headers.items():
        response[name] = value
    return response


def _headers(exc: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if auth_header := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    if wait_s := getattr(exc, "wait", None):
        headers["Retry-After"] = str(int(wait_s) + 1)
    return headers


def framework_msg(
    exc: exceptions.APIException, context: Mapping[str, Any] = MappingProxyType({})
) -> str:
    """The framework's error in our words; what our own code raised says it already. Errors of a
    view's own need its context.
    """
    match exc:
        case exceptions.NotAuthenticated():
            return "authorization: a token or a session is needed"
        case exceptions.AuthenticationFailed():
            return f"authorization: {_flat(exc.detail)}"
        case exceptions.PermissionDenied():
            detail = _flat(exc.detail)
            what = detail.removeprefix("CSRF Failed: ")
            return f"{'authorization' if what == detail else 'csrf'}: {what}"
        case exceptions.MethodNotAllowed():
            return f"method: {context['request'].method} is not possible here"
        case exceptions.NotAcceptable():
            return "accept: only application/json is offered"
        case exceptions.UnsupportedMediaType():
            offered = " or ".join(parser.media_type for parser in context["view"].parser_classes)
            return f"content-type: must be {offered}"
        case exceptions.NotFound():
            return _flat(exc.detail) if ":" in str(exc.detail) else "path: there is nothing here"
        case _:
            return _flat(exc.detail)


def _flat(detail: Any, prefix: str = "") -> str:
    if isinstance(detail, Mapping):
        return "; ".join(_flat(value, f"{name}: ") for name, value in detail.items())
    if isinstance(detail, list):
        return "; ".join(_flat(value, prefix) for value in detail)
    return f"{prefix}{detail}"
