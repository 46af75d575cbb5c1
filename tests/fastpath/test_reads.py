"""The edge's door: what is left of it behind the fast path, and the pool as a whole."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from runtime.http.answer import Answer
from runtime.http.reads import ReadsApplication
from tests.fastpath.app import table
from tests.fastpath.pools import Pool
from tests.fastpath.test_metrics import samples

NOTHING_HERE = b'{"msg":"path: there is nothing here"}'


class Edge:
    """The application without a server."""

    def __init__(self) -> None:
        self.routes = table()
        self.application = ReadsApplication(
            self.routes,
            {
                "/healthz": lambda: Answer(200, b'{"status":"ok"}'),
                "/metrics": lambda: Answer(200, b"a 1", ((b"content-type", b"text/plain"),)),
                "/fails": lambda: Answer(1 // 0, b""),
            },
        )

    def ask(self, path: str, method: str = "GET", query: bytes = b""):
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(dict(message))

        async def receive() -> Any:
            raise AssertionError("bodies are not looked at")

        scope = {"type": "http", "path": path, "method": method, "query_string": query}
        asyncio.run(self.application(scope, receive, send))
        start, body = sent
        return start["status"], dict(start["headers"]), body["body"]

    def counted(self) -> dict[int, int]:
        route = self.routes.find(b"GET", b"/hot")
        assert route is not None
        return route.stats.totals()[0]


def test_a_hot_read():
    edge = Edge()
    status, headers, body = edge.ask("/hot", query=b"a=1&b=%20")
    assert (status, body) == (200, b'{"query": "a=1&b=%20"}')
    assert headers == {
        b"x-catalog-version": b"7",
        b"content-type": b"application/json",
        b"content-length": b"%d" % len(body),
    }
    assert edge.ask("/hot", query=b"bad")[0] == 400
    assert edge.ask("/hot", "HEAD")[0] == 200
    assert edge.counted() == {200: 2, 400: 1}


def test_pages():
    assert Edge().ask("/healthz")[2] == b'{"status":"ok"}'
    _, headers, body = Edge().ask("/metrics")
    assert (headers[b"content-type"], body) == (b"text/plain", b"a 1")


@pytest.mark.parametrize("path", ["/", "/hot/", "/nothing", "", "/save", "/things/a", "/\ud7ff"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_there(path, method):
    status, _, body = Edge().ask(path, method)
    assert (status, body) == (404, NOTHING_HERE)


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
    status, headers, body = Edge().ask(path, method)
    assert status == 405
    assert headers[b"allow"] == b"GET, HEAD"
    assert body == b'{"msg":"method: must be GET or HEAD"}'


@pytest.mark.parametrize("path", ["/broken", "/fails"])
def test_a_broken_handler_answers_500(path, caplog):
    status, _, body = Edge().ask(path)
    assert (status, body) == (500, b'{"msg":"internal error"}')
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


def exchange(port: int, *pieces: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
        return received


CLOSE = b"Connection: close\r\n\r\n"
CASES = {
    b"GET /hot?a=%20b#x HTTP/1.1\r\nHost: a\r\n": (b"200", b'{"query": "a=%20b"}'),
    b"GET /hot HTTP/1.1\r\nHost: a\r\n": (b"200", b'{"query": ""}'),
    b"GET /hot? HTTP/1.1\r\nHost: a\r\n": (b"200", b'{"query": ""}'),
    b"GET /h%6ft?a HTTP/1.1\r\nHost: a\r\n": (b"200", b'{"query": "a"}'),
    b"GET http://a/hot?a HTTP/1.1\r\nHost: a\r\n": (b"200", b'{"query": "a"}'),
    b"HEAD /hot?a HTTP/1.1\r\nHost: a\r\n": (b"200", b""),
    b"HEAD /nothing HTTP/1.1\r\nHost: a\r\n": (b"404", b""),
    b"GET /%FF%00 HTTP/1.1\r\nHost: a\r\n": (b"404", NOTHING_HERE),
    b"GET /hot HTTP/1.0\r\n": (b"200", b'{"query": ""}'),
    b"GET /hot HTTP/1.1\r\nHost: a\r\nExpect: nothing\r\n": (b"200", b'{"query": ""}'),
    b"GET /hot HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n": (b"200", b'{"query": ""}'),
    b"GET /hot?" + b"y" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n": (
        b"200",
        b'{"query": "' + b"y" * 9_000 + b'"}',
    ),
}


def test_the_pool_answers_what_the_api_does(tmp_path: Path):
    with Pool(tmp_path, "edge") as pool:
        for request, (status, body) in CASES.items():
            head, _, rest = exchange(pool.port, request + CLOSE).partition(b"\r\n\r\n")
            assert (head.split()[1], rest) == (status, body), request
        two = b"GET /hot?1 HTTP/1.1\r\n\r\nGET /hot?2 HTTP/1.1\r\n"
        pipelined = exchange(pool.port, two + CLOSE)
        assert pipelined.index(b'{"query": "1"}') < pipelined.index(b'{"query": "2"}')
        assert pool.stop() == 0


@pytest.mark.parametrize("kind", ["api", "edge"])
def test_no_request_ends_a_worker_or_is_answered_to_another(tmp_path: Path, kind: str):
    """What ended workers of the edge's server of old, or had it answer 500 to whoever came next."""
    cookie = b"GET /hot HTTP/1.1\r\nHost: a\r\nCookie: " + b"a" * 4_200
    hostile = [
        (cookie, b"a" * 4_200 + b"\r\n" + CLOSE),
        (cookie, *[b"a" * 1_460] * 50, b"\r\n" + CLOSE),
        (b"GET /hot HTTP/1.1\r\nHost: a\r\n" + b"b" * 5_000, b"b" * 5_000 + b": c\r\n" + CLOSE),
        (b"GET /hot HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n",),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n" + CLOSE,),
        (b"GET /hot HTTP/1.1\r\nUpgrade: TLS/1.0\r\n" + CLOSE,),
        (b"POST /hot HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + CLOSE + b"0\r\nX: y\r\n\r\n",),
        (b"GET /hot HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n" + CLOSE + b"0\r\n\r\n",),
        (b"BREW /hot HTTP/1.1\r\n" + CLOSE,),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",),
    ]
    with Pool(tmp_path, kind) as pool:
        workers = pool.serving()
        for pieces in hostile * 3:
            answer = exchange(pool.port, *pieces)
            assert not answer.startswith(b"HTTP/1.1 5"), pieces
            for _ in range(4):
                assert pool.get("/hot?a=1") == (200, b'{"query": "a=1"}'), pieces
        assert pool.serving() == workers
        assert pool.stop() == 0
