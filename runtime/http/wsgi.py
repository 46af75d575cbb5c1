"""The hot routes as a WSGI application, for the edge pool under meinheld.

Serves reads and a few pages (health, metrics) and nothing else: no bodies, no other methods.
"""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from time import perf_counter
from typing import Any

from runtime.http.answer import Answer, Headers
from runtime.http.errors import error_answer
from runtime.http.routes import ReadRoute, RouteTable

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]
Page = Callable[[], Answer]

_REASONS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


def wsgi_application(table: RouteTable, pages: Mapping[str, Page]) -> Application:
    """The application over the reads of `table`, and `pages` by path, both for GET and HEAD.

    A page's answer may carry a `content-type` of its own.
    """
    reads = {
        route.path.decode(): (route.handler, route.stats)
        for route in table
        if isinstance(route, ReadRoute) and route.method == b"GET"
    }
    heads = _Heads()

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        started_s = perf_counter()
        read = reads.get(environ["PATH_INFO"])
        if read is None or environ["REQUEST_METHOD"] != "GET" or "CONTENT_LENGTH" in environ:
            answer = _unusual(environ, reads, pages)
            start_response(*heads.encode(answer))
            return [b"" if environ["REQUEST_METHOD"] == "HEAD" else answer.body]
        handler, stats = read
        answer = handler(environ.get("QUERY_STRING", "").encode("latin-1"))
        start_response(*heads.encode(answer))
        stats.add(answer.status, perf_counter() - started_s)
        return [answer.body]

    return application


class _Heads:
    """Status line and headers of answers, remembering the last ones encoded."""

    def __init__(self) -> None:
        self._known: tuple[Headers, list[tuple[str, str]]] = ((), [])

    def encode(self, answer: Answer) -> tuple[str, list[tuple[str, str]]]:
        if self._known[0] is not answer.headers:
            extra = [(name.decode(), value.decode()) for name, value in answer.headers]
            if not any(name == "content-type" for name, _ in extra):
                extra.append(("content-type", "application/json"))
            self._known = (answer.headers, extra)
        length = ("content-length", str(len(answer.body)))
        return _REASONS[answer.status], [*self._known[1], length]


def _unusual(environ: Environ, reads: Mapping[str, Any], pages: Mapping[str, Page]) -> Answer:
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    if path not in reads and path not in pages:
        return error_answer(404, "path: there is nothing here")
    if method not in ("GET", "HEAD"):
        answer = error_answer(405, "method: only GET and HEAD are served here")
        return answer._replace(headers=((b"allow", b"GET, HEAD"),))
    if path in pages:
        return pages[path]()
    answer = reads[path][0](environ.get("QUERY_STRING", "").encode("latin-1"))
    return answer if isinstance(answer, Answer) else error_answer(500, "internal error")
