"""Requests that differ from one that was parsed in nothing but their bearer token."""

from runtime.http.answer import Answer
from runtime.http.routes import HotRequest, Reply, RouteTable
from tests.fastpath.support import bodies, fast_bench, on_bench


@on_bench
async def test_another_token_is_read_without_the_parser():
    """Behind a proxy each request of a connection may be another person's."""
    routes = RouteTable()
    routes.later(
        b"GET", b"/me", lambda request, reply: reply(Answer(200, repr(request.headers).encode()))
    )
    bench = fast_bench(routes)
    parsed = []
    for number in range(2):
        wire = bench.connect()
        feed = wire.protocol._feed

        def spy(data, feed=feed):
            parsed.append(data)
            feed(data)

        wire.protocol._feed = spy
        for token in (b"a%d" % number, b"b_-.~+/=", b"c"):
            request = b"GET /me HTTP/1.1\r\nAuthorization: Bearer %b\r\nAccept: x\r\n\r\n" % token
            wire.receive(request)
            headers = [(b"authorization", b"Bearer " + token), (b"accept", b"x")]
            assert bodies(wire)[-1] == repr(headers).encode()
    assert len(parsed) == 1, "the first one of all"


@on_bench
async def test_who_is_known_is_answered_without_the_handler():
    asked = []

    def handler(request: HotRequest, reply: Reply) -> None:
        asked.append(request.header(b"authorization"))
        reply(Answer(200, b"found"))

    def at_once(token: bytes) -> Answer | None:
        if token == b"broken":
            raise ValueError(token)
        return Answer(200, token) if token.startswith(b"k") else None

    routes = RouteTable()
    routes.later(b"GET", b"/me", handler, at_once=at_once)
    wire = fast_bench(routes).connect()
    for token in (b"k1", b"k1", b"k2", b"u", b"u", b"k1"):
        wire.receive(b"GET /me HTTP/1.1\r\nAuthorization: Bearer %b\r\n\r\n" % token)
    # The first one teaches the headers.
    assert bodies(wire) == [b"found", b"k1", b"k2", b"found", b"found", b"k1"]
    assert asked == [b"Bearer k1", b"Bearer u", b"Bearer u"]
    wire.receive(b"GET /me HTTP/1.1\r\nAuthorization: Bearer broken\r\n\r\n")
    assert bodies(wire)[-1] == b'{"msg":"internal error"}'
