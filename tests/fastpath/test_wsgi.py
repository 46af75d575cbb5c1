"""The edge's door: the WSGI application itself, and what meinheld makes of it."""

import socket

import pytest

from runtime.http.answer import Answer
from runtime.http.wsgi import wsgi_application
from tests.fastpath.app import table
from tests.fastpath.pools import Pool
from tests.fastpath.test_metrics import samples


class Edge:
    """The application without a server."""

    def __init__(self) -> None:
        self.routes = table()
        self.application = wsgi_application(
            self.routes,
            {
                "/healthz": lambda: Answer(200, b'{"status":"ok"}'),
                "/metrics": lambda: Answer(200, b"a 1", ((b"content-type", b"text/plain"),)),
            },
        )

    def ask(self, path: str, method: str = "GET", **environ: str):
        started = []
        body = b"".join(
            self.application(
                {"PATH_INFO": path, "REQUEST_METHOD": method, **environ},
                lambda status, headers: started.append((status, dict(headers))),
            )
        )
        [(status, headers)] = started
        return status, headers, body

    def counted(self) -> dict[int, int]:
        route = self.routes.find(b"GET", b"/hot")
        assert route is not None
        return route.stats.totals()[0]


def test_a_hot_read():
    edge = Edge()
    status, headers, body = edge.ask("/hot", QUERY_STRING="a=1&b=%20")
    assert (status, body) == ("200 OK", b'{"query": "a=1&b=%20"}')
    assert headers == {
        "x-catalog-version": "7",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    assert edge.ask("/hot", QUERY_STRING="bad")[0] == "400 Bad Request"
    assert edge.counted() == {200: 1, 400: 1}


def test_an_empty_query_may_be_absent():
    assert Edge().ask("/hot")[2] == b'{"query": ""}'
    assert Edge().ask("/hot", QUERY_STRING="")[2] == b'{"query": ""}'


def test_head_has_the_headers_of_get_and_no_body():
    edge = Edge()
    _, headers, body = edge.ask("/hot", QUERY_STRING="a=1")
    assert edge.ask("/hot", "HEAD", QUERY_STRING="a=1") == ("200 OK", headers, b"")
    assert edge.counted() == {200: 2}
    assert len(body) == int(headers["content-length"])


def test_pages():
    assert Edge().ask("/healthz")[2] == b'{"status":"ok"}'
    _, headers, body = Edge().ask("/metrics")
    assert (headers["content-type"], body) == ("text/plain", b"a 1")
    assert Edge().ask("/healthz", "HEAD")[2] == b""


@pytest.mark.parametrize("path", ["/", "/hot/", "/nothing", "*", "", "/save", "http://a/nothing"])
def test_what_is_not_there(path):
    status, _, body = Edge().ask(path)
    assert (status, body) == ("404 Not Found", b'{"msg":"path: there is nothing here"}')


def test_pages_and_strangers_are_counted_too():
    before = samples()
    edge = Edge()
    for path in ("/healthz", "/a", "/b", "/hot"):
        edge.ask(path)
    edge.ask("/hot", "POST")
    after = samples()

    def grown(*key: str) -> float:
        return after["http_requests_total", *key] - before.get(("http_requests_total", *key), 0)

    assert grown("/healthz", "GET", "200") == 1
    assert grown("(none)", "GET", "404") == 2
    assert edge.counted() == {200: 1, 405: 1}


@pytest.mark.parametrize("path", ["/hot", "/healthz"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods(path, method):
    status, headers, body = Edge().ask(path, method, CONTENT_LENGTH="3")
    assert status == "405 Method Not Allowed"
    assert headers["allow"] == "GET, HEAD"
    assert body == b'{"msg":"method: must be GET or HEAD"}'


@pytest.mark.parametrize(
    "environ", [{"CONTENT_LENGTH": "3"}, {"HTTP_TRANSFER_ENCODING": "gzip"}], ids=str
)
@pytest.mark.parametrize("path", ["/hot", "/healthz"])
def test_bodies_are_refused(path, environ):
    status, _, body = Edge().ask(path, **environ)
    assert (status, body) == ("400 Bad Request", b'{"msg":"body: is not taken here"}')


def test_an_empty_body_is_none():
    assert Edge().ask("/hot", CONTENT_LENGTH="0")[0] == "200 OK"


def test_a_target_that_is_a_whole_url():
    assert Edge().ask("http://host:1/hot", QUERY_STRING="a=1")[2] == b'{"query": "a=1"}'


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_broken_handler_answers_500(method, caplog):
    status, _, body = Edge().ask("/broken", method)
    assert status == "500 Internal Server Error"
    assert body == (b'{"msg":"internal error"}' if method == "GET" else b"")
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


def exchange(port: int, request: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
        return received


def test_under_meinheld(tmp_path):
    close = b"Connection: close\r\n\r\n"
    cases = {
        b"GET /hot?a=%20b#x HTTP/1.1\r\nHost: a\r\n": (b"200", b'{"query": "a=%20b"}'),
        b"GET /hot HTTP/1.1\r\nHost: a\r\n": (b"200", b'{"query": ""}'),
        b"GET /hot? HTTP/1.1\r\nHost: a\r\n": (b"200", b'{"query": ""}'),
        b"GET /h%6ft?a HTTP/1.1\r\nHost: a\r\n": (b"200", b'{"query": "a"}'),
        b"GET http://a/hot?a HTTP/1.1\r\nHost: a\r\n": (b"200", b'{"query": "a"}'),
        b"HEAD /hot?a HTTP/1.1\r\nHost: a\r\n": (b"200", b""),
        b"HEAD /nothing HTTP/1.1\r\nHost: a\r\n": (b"404", b""),
        b"GET /%FF%00 HTTP/1.1\r\nHost: a\r\n": (b"404", b'{"msg":"path: there is nothing here"}'),
        b"GET /hot HTTP/1.0\r\n": (b"200", b'{"query": ""}'),
    }
    with Pool(tmp_path, "edge") as pool:
        for request, (status, body) in cases.items():
            head, _, rest = exchange(pool.port, request + close).partition(b"\r\n\r\n")
            assert (head.split()[1], rest) == (status, body), request
        workers = pool.serving()
        trailer = b"POST /hot HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n"
        assert exchange(pool.port, trailer + close).startswith(b"HTTP/1.0 400 ")
        assert pool.serving() == workers, "meinheld by itself would die of it"
        two = b"GET /hot?1 HTTP/1.1\r\n\r\nGET /hot?2 HTTP/1.1\r\n"
        pipelined = exchange(pool.port, two + close)
        assert pipelined.index(b'{"query": "1"}') < pipelined.index(b'{"query": "2"}')
        assert pool.stop() == 0
