"""The hot reads as a WSGI application, for the edge pool under meinheld.

Serves reads and a few pages (health, metrics) and nothing else: no bodies, no other methods. What
meinheld gives differs from other servers in one thing: `QUERY_STRING` is absent when empty.
"""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from logging import getLogger
from time import perf_counter
from typing import Any

from runtime.http.answer import Answer, Headers
from runtime.http.errors import NOTHING_HERE, error_answer
from runtime.http.routes import ReadRoute, RouteTable
from runtime.http.stats import FIRST_BOUND_S
from runtime.metrics import NO_ROUTE, observe_request

Environ = dict[str, Any]
TextHeaders = list[tuple[str, str]]
StartResponse = Callable[[str, TextHeaders], Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]
Page = Callable[[], Answer]

log = getLogger(__name__)

_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_NO_BODY = error_answer(400, "body: is not taken here")
_NOT_ALLOWED = error_answer(405, "method: must be GET or HEAD")._replace(
    headers=((b"allow", b"GET, HEAD"),)
)
_BROKEN = Answer(500, b'{"msg":"internal error"}')


def wsgi_application(table: RouteTable, pages: Mapping[str, Page]) -> Application:
    """The application over the reads of `table`, and `pages` by path, for GET and HEAD.

    An answer may carry a `content-type` of its own; otherwise it is JSON.
    """
    routes = _reads(table)
    known_headers: Headers | None = None
    known_text: TextHeaders = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        nonlocal known_headers, known_text
        started_s = perf_counter()
        route = routes.get(environ["PATH_INFO"])
        if (
            route is None
            or environ["REQUEST_METHOD"] != "GET"
            or "CONTENT_LENGTH" in environ
            or "HTTP_TRANSFER_ENCODING" in environ
        ):
            return _answer_unusual(environ, start_response, routes, pages)
        query = environ.get("QUERY_STRING")
        try:
            status, body, headers = route.handler(query.encode("latin-1") if query else b"")
        except Exception:
            log.exception("Exception in hot handler of %r", route.path)
            status, body, headers = _BROKEN
        # Nearly every answer has the headers of the one before it.
        if headers is not known_headers:
            known_headers, known_text = headers, _text(headers)
        start_response(_STATUS_LINES[status], [*known_text, ("content-length", str(len(body)))])
        duration_s = perf_counter() - started_s
        stats = route.stats
        if status == 200 and duration_s <= FIRST_BOUND_S:
            stats.usual += 1
            stats.total_s += duration_s
        else:
            stats.add(status, duration_s)
        return (body,)

    return application


def _reads(table: RouteTable) -> dict[str, ReadRoute]:
    return {
        route.path.decode(): route
        for route in table
        if isinstance(route, ReadRoute) and route.method == b"GET"
    }


def _text(headers: Headers) -> TextHeaders:
    text = [(name.decode(), value.decode()) for name, value in headers]
    if not any(name == "content-type" for name, _ in text):
        text.append(("content-type", "application/json"))
    return text


def _answer_unusual(
    environ: Environ,
    start_response: StartResponse,
    routes: Mapping[str, ReadRoute],
    pages: Mapping[str, Page],
) -> Iterable[bytes]:
    started_s = perf_counter()
    path, method = _path(environ), environ["REQUEST_METHOD"]
    route = routes.get(path)
    if route is None and path not in pages:
        answer = NOTHING_HERE
    elif method not in ("GET", "HEAD"):
        answer = _NOT_ALLOWED
    elif "HTTP_TRANSFER_ENCODING" in environ or environ.get("CONTENT_LENGTH", "0") != "0":
        answer = _NO_BODY
    else:
        try:
            query = environ.get("QUERY_STRING", "").encode("latin-1")
            answer = route.handler(query) if route is not None else pages[path]()
        except Exception:
            log.exception("Exception in the handler of %r", path)
            answer = _BROKEN
    duration_s = perf_counter() - started_s
    if route is not None:
        route.stats.add(answer.status, duration_s)
    else:
        name = path if path in pages else NO_ROUTE
        observe_request(route=name, method=method, status=answer.status, duration_s=duration_s)
    length = ("content-length", str(len(answer.body)))
    start_response(_STATUS_LINES[answer.status], [*_text(answer.headers), length])
    return () if method == "HEAD" else (answer.body,)


def _path(environ: Environ) -> str:
    """The path, also of a request whose target is a whole URL, as proxies may send it."""
    path: str = environ["PATH_INFO"]
    for scheme in ("http://", "https://"):
        if path.lower().startswith(scheme):
            _, slash, rest = path[len(scheme) :].partition("/")
            return slash + rest
    return path
