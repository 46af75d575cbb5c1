"""Counts every request that Django answers, by route, in the metrics the fast path also feeds; and
sends writes to the path that was meant.
"""

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware

from runtime.metrics import NO_ROUTE, observe_request


class _SameMethodElsewhere(HttpResponsePermanentRedirect):
    """Says where it is, and that it is to be asked for there by the same method. After a 301 most
    clients ask by GET, and a write without a path's last slash would come out as a read.
    """

    status_code = 308


class SlashMiddleware(CommonMiddleware):
    """Django's own, but for how it sends those elsewhere who leave a path's last slash out."""

    response_redirect_class = _SameMethodElsewhere


class RequestMetrics:
    """Middleware for both kinds of Django handlers; before all others, so that it times everything.

    In production only `config.inside.InsidePages` is before it: probes and scrapes are not counted.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """The response, once it is counted."""
        if self._is_async:
            return self._answer_async(request)
        started_s = perf_counter()
        response: HttpResponseBase = self._get_response(request)
        _observe(request, response, started_s)
        return response

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        started_s = perf_counter()
        response: HttpResponseBase = await self._get_response(request)
        _observe(request, response, started_s)
        return response


def _observe(request: HttpRequest, response: HttpResponseBase, started_s: float) -> None:
    match = request.resolver_match
    observe_request(
        route=f"/{match.route}" if match else NO_ROUTE,
        method=request.method or "",
        status=response.status_code,
        duration_s=perf_counter() - started_s,
    )
