"""Django's doors to the hot handlers: the same handler and answer, for requests that the fast path
leaves to Django.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse

from runtime.http.answer import UNKNOWN, Answer
from runtime.http.errors import error_answer
from runtime.http.routes import HotRequest, RouteTable, WriteRoute

# Longer than any handler takes to find out what became of a write.
_ANSWER_TIMEOUT_S = 30.0
_NOT_SERVING = error_answer(503, "server: is not serving yet", retry_after_s=1)
# The fast path closes the connection without a word; Django has to say something.
_NOBODY_KNOWS = error_answer(504, "store: whether this was accepted is not known")


class Serving(NamedTuple):
    """The loop that serves in this process, and its hot routes."""

    loop: asyncio.AbstractEventLoop
    routes: RouteTable


_serving: list[Serving] = []


def open_doors(routes: RouteTable) -> None:
    """From now on views find the handlers. To be called on the loop that serves."""
    _serving[:] = [Serving(asyncio.get_running_loop(), routes)]


def close_doors() -> None:
    """From now on they find none, and answer 503."""
    _serving.clear()


def response_of(answer: Answer) -> HttpResponse:
    """The same status, body and headers, as JSON."""
    return HttpResponse(
        answer.body,
        status=answer.status,
        content_type="application/json",
        headers=answer.text_headers(),
    )


def answered_later(method: bytes, path: bytes) -> Callable[[HttpRequest], HttpResponse]:
    """A view that hands its request to the route's handler, on the loop, and waits for the reply.
    For threads other than the loop's.
    """

    def view(request: HttpRequest) -> HttpResponse:
        serving = _serving[0] if _serving else None
        route = serving and serving.routes.find(method, path)
        if serving is None or not isinstance(route, WriteRoute):
            return response_of(_NOT_SERVING)
        assert isinstance(request, ASGIRequest), "what serves speaks ASGI"
        answer = _wait_for(serving.loop, route, hot_request(request))
        return response_of(_NOBODY_KNOWS if answer is UNKNOWN else answer)

    return view


def _wait_for(loop: asyncio.AbstractEventLoop, route: WriteRoute, request: HotRequest) -> Answer:
    replied: Future[Answer] = Future()

    def begin() -> None:
        try:
            route.handler(request, replied.set_result)
        except Exception as error:
            if replied.done():
                raise  # Answered, and then a mistake: it is the loop's to report.
            replied.set_exception(error)

    loop.call_soon_threadsafe(begin)
    try:
        return replied.result(_ANSWER_TIMEOUT_S)
    except TimeoutError:
        return UNKNOWN


def hot_request(request: ASGIRequest) -> HotRequest:
    """Django's request as hot handlers get to see one."""
    query = str(request.META.get("QUERY_STRING", "")).encode()
    client = str(request.META.get("REMOTE_ADDR") or "")
    # As they came: Django joins what was given twice.
    return HotRequest(query, request.body, request.scope["headers"], client)
