"""What Django answers when something is wrong: JSON where programs ask, a page elsewhere.

The database being away is no bug of ours: it is a 503 with `Retry-After`, wherever it is noticed.
"""

import sys
from collections.abc import Callable
from http import HTTPStatus

from django.core.exceptions import DisallowedHost, RequestDataTooBig
from django.db import DataError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template import TemplateDoesNotExist
from django.template.loader import render_to_string
from django.views import defaults
from django.views.csrf import csrf_failure as csrf_page

from commons.patience import is_uncertain
from config.doors import response_of
from runtime.errors import BusyError, UncertainError
from runtime.http.errors import INTERNAL_ERROR, error_answer

RETRY_AFTER_S = 1
STORE_AWAY = (OperationalError, InterfaceError)
STORE_AWAY_MSG = "database: cannot be reached, nothing was accepted"
UNCERTAIN_MSG = "database: went away at the commit; whether this was written is not known"
TOO_LARGE_MSG = "body: is too large"
UNKNOWN_HOST_MSG = "host: is not served here; ALLOWED_HOSTS names the hosts that are"
# What passed every check and still does not fit into the database, such as a NUL in a cookie.
UNSTORABLE_MSG = "request: holds a value that the database cannot hold"
# The first part of the paths that speak JSON only.
_API_ROOMS = frozenset(["api", "increment", "counters", "save", "healthz", "readyz", "metrics"])


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler400: a request that Django itself refuses."""
    if isinstance(exception, RequestDataTooBig):
        return _plain(request, 413, TOO_LARGE_MSG)
    if isinstance(exception, DisallowedHost):
        return _plain(request, 400, UNKNOWN_HOST_MSG)
    return _either(request, 400, "request: is not valid", defaults.bad_request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler403."""
    msg = "authorization: you may not do this"
    return _either(request, 403, msg, defaults.permission_denied, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler404."""
    return _either(request, 404, "path: there is nothing here", defaults.page_not_found, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Django's handler500: also where an error of a middleware ends up."""
    error = sys.exc_info()[1]
    if error is not None and is_uncertain(error):
        return _plain(request, 504, UNCERTAIN_MSG)
    if isinstance(error, STORE_AWAY):
        return _plain(request, 503, STORE_AWAY_MSG, retry_after_s=RETRY_AFTER_S)
    if isinstance(error, BusyError):
        return _plain(request, 503, str(error), retry_after_s=RETRY_AFTER_S)
    if isinstance(error, UncertainError):
        return _plain(request, 504, str(error))
    if isinstance(error, DataError):
        return _plain(request, 400, UNSTORABLE_MSG)
    if _is_api(request):
        return response_of(INTERNAL_ERROR)
    return defaults.server_error(request)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """Django's CSRF_FAILURE_VIEW."""
    if _is_api(request):
        return response_of(error_answer(403, f"csrf: {reason or 'the token is missing'}"))
    return csrf_page(request, reason)


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.lstrip("/").partition("/")[0] in _API_ROOMS


def _either(
    request: HttpRequest,
    status: int,
    msg: str,
    page: Callable[[HttpRequest, Exception], HttpResponseBase],
    exception: Exception,
) -> HttpResponseBase:
    if _is_api(request) or not _wants_a_page(request):
        return response_of(error_answer(status, msg))
    return page(request, exception)


def _wants_a_page(request: HttpRequest) -> bool:
    """Whether whoever asks says so: people's browsers do, programs take anything or JSON."""
    return "text/html" in request.headers.get("accept", "")


def _plain(
    request: HttpRequest, status: int, msg: str, retry_after_s: int | None = None
) -> HttpResponse:
    """An answer that Django has no page of its own for; `<status>.html` where there is one."""
    answer = error_answer(status, msg, retry_after_s=retry_after_s)
    if _is_api(request):
        return response_of(answer)
    try:
        page: str = render_to_string(f"{status}.html", {"msg": msg})
    except TemplateDoesNotExist:
        page = f"<!doctype html><title>{HTTPStatus(status).phrase}</title><p>{msg}"
    return HttpResponse(page, status=status, headers=answer.text_headers())
