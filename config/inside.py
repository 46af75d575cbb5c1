"""Answers probes and scrapes before Django asks who is asking.

An orchestrator probes `http://<address of this very container>/readyz`, and so does Prometheus:
a host name that is in nobody's ALLOWED_HOSTS, over plain HTTP, without a session. The proxy
before the pools keeps these paths from visitors.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from config import health

PAGES: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    "/healthz": health.healthz_view,
    "/readyz": health.readyz_view,
    "/metrics": health.metrics_view,
}


class InsidePages:
    """Middleware for both kinds of Django handlers; the outermost, nothing of Django before it."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """The page when `request` is for one of `PAGES`, else what the rest of Django says."""
        page = PAGES.get(request.path)
        if self._is_async:
            return self._answer_async(request, page)
        response: HttpResponseBase = page(request) if page else self._get_response(request)
        return response

    async def _answer_async(
        self, request: HttpRequest, page: Callable[[HttpRequest], HttpResponse] | None
    ) -> HttpResponseBase:
        if page is not None:
            # It asks Redis, or reads files: not on the event loop.
            return await sync_to_async(page)(request)
        response: HttpResponseBase = await self._get_response(request)
        return response
