"""The hot reads and a few pages as an ASGI application, for a pool that has nothing else.

The protocol answers the usual read by itself; here is what is left: unusual requests to the same
routes, pages such as `/metrics`, which may take their time and so run in threads, and everything
that is not there. Bodies are not looked at.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from logging import getLogger
from time import perf_counter
from typing import Any

from runtime.http.answer import Answer
from runtime.http.errors import INTERNAL_ERROR, NOTHING_HERE, READS_ONLY
from runtime.http.routes import ReadRoute, RouteTable
from runtime.metrics import NO_ROUTE, observe_request

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Page = Callable[[], Answer]

log = getLogger(__name__)

_READS = ("GET", "HEAD")


class ReadsApplication:
    """The reads of `table`, and `pages` by path, for GET and HEAD; of one HTTP request each.

    An answer may carry a `content-type` of its own; otherwise it is JSON.
    """

    def __init__(self, table: RouteTable, pages: Mapping[str, Page]) -> None:
        self._table = table
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started_s = perf_counter()
        path, method = scope["path"], scope["method"]
        found = self._table.find(b"GET", path.encode())
        route = found if isinstance(found, ReadRoute) else None
        answer = await self._answer(route, path, method, scope["query_string"])
        await _send(send, answer)
        duration_s = perf_counter() - started_s
        if route is not None:
            route.stats.add(answer.status, duration_s)
        else:
            name = path if path in self._pages else NO_ROUTE
            observe_request(route=name, method=method, status=answer.status, duration_s=duration_s)

    async def _answer(
        self, route: ReadRoute | None, path: str, method: str, query: bytes
    ) -> Answer:
        page = self._pages.get(path)
        if route is None and page is None:
            return NOTHING_HERE
        if method not in _READS:
            return READS_ONLY
        try:
            if route is not None:
                return route.handler(query)
            assert page is not None
            return await asyncio.to_thread(page)
        except Exception:
            log.exception("Exception in the handler of %r", path)
            return INTERNAL_ERROR


async def _send(send: Send, answer: Answer) -> None:
    headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
    if not any(name == b"content-type" for name, _ in headers):
        headers.append((b"content-type", b"application/json"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
