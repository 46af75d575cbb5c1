"""The proof of the fast path: any byte stream gets what the plain server gives.

The plain server is fed one byte at a time and has finished with each before the next comes: what
it answers then depends on the bytes alone. The fast path gets the same bytes in whatever pieces,
with whatever pauses, and must give the same answers in the same order, and end the connection (or
not) in the same way.
"""

import asyncio
import itertools
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from runtime.http.protocol import FastPathProtocol
from tests.fastpath.app import App, table
from tests.fastpath.wire import Bench, outcome


@pytest.fixture(autouse=True)
def _quiet_logs():
    """Broken handlers and bad requests are the point here, not worth their lines."""
    logger = logging.getLogger("uvicorn.error")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(level)


async def plainly(stream: bytes):
    bench = Bench(HttpToolsProtocol, App())
    wire = bench.connect()
    for byte in stream:
        if wire.closing:
            break
        wire.receive(bytes([byte]))
        if bench.server_state.tasks:
            await bench.settle()
    await bench.settle()
    seen = outcome(wire)
    await bench.leave()
    return seen


async def fast(pieces: list[bytes], pauses: list[int]):
    bench = Bench(FastPathProtocol, App(), {"hot_routes": table()})
    wire = bench.connect()
    for number, piece in enumerate(pieces):
        if wire.closing:
            break
        wire.receive_more(piece)
        for _ in range(pauses[number % len(pauses)] if pauses else 0):
            await asyncio.sleep(0)
    for _ in range(4):
        await bench.settle()
    assert wire.late_writes == 0
    assert not wire.unreceived_bytes or wire.ended
    seen = outcome(wire)
    await bench.leave()
    return seen


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({place % (len(stream) + 1) for place in cuts} | {0, len(stream)})
    return [stream[a:b] for a, b in itertools.pairwise(places)]


ALL_METHODS = ["POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT"]
METHODS = st.sampled_from(["GET"] * 3 + ALL_METHODS)
PATHS = st.sampled_from(
    "/hot /hot /hot /save /me /things/a /slow /no /h%6ft //hot /hot/ * http://a/hot /hot;a /broken"
    " a: /things/ /things/%61 /things/a/b /things/a/ /things/gone/ /things//".split()
)
ALL_QUERIES = ["", "?", "?a=1", "?bad", "?a=1&b=%20", "?a?b", "?a#b", "#?a", "?é", "? a"]
ALL_VERSIONS = ["1.1", "1.0", "0.9", "2.0", "1.2", "1.1 ", "11"]
QUERIES = st.sampled_from(ALL_QUERIES)
VERSIONS = st.sampled_from(["1.1"] * 5 + ALL_VERSIONS)
ALL_HEADERS = [
    "Host: a",
    "host: b",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: upgrade",
    "Connection: Upgrade, close",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "Expect: 100-continue",
    "Expect: nothing",
    "Content-Length: 0",
    "Content-Length: 3",
    "Content-Length: -1",
    "Content-Length: 3, 3",
    "Content-Length:  3 ",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: gzip, chunked",
    "X: " + "y" * 50,
    "X:",
    "X : y",
    " folded: y",
    "Cookie: a=b; c=d",
    "X: \x00",
]
HEADERS = st.sampled_from(ALL_HEADERS)
BODIES = st.sampled_from(
    [
        "",
        "",
        "abc",
        "abcdef",
        "3\r\nabc\r\n0\r\n\r\n",
        "3;x=y\r\nabc\r\n0\r\nT: z\r\n\r\n",
        "zz\r\n",
    ]
)


@st.composite
def loose_requests(draw) -> bytes:
    """Any combination, most of them wrong in one way or another."""
    line = f"{draw(METHODS)} {draw(PATHS)}{draw(QUERIES)} HTTP/{draw(VERSIONS)}"
    lines = [line, *draw(st.lists(HEADERS, max_size=3)), "", draw(BODIES)]
    return "\r\n".join(lines).encode("latin-1")


@st.composite
def right_requests(draw) -> bytes:
    """What decent clients send."""
    close = draw(st.sampled_from(["", "", "", "", "Connection: close\r\n"]))
    kind = draw(st.integers(0, 9))
    query = draw(st.sampled_from(["", "?", "?a=1", "?a=1&b=%20", "?bad=1"]))
    if kind <= 2:
        return f"GET /hot{query} HTTP/1.1\r\nHost: a\r\n{close}\r\n".encode()
    if kind == 3:
        return f"GET /slow HTTP/1.1\r\nHost: a\r\n{close}\r\n".encode()
    if kind == 4:
        later = draw(st.sampled_from(["", "?later", "?laterlaterlater"]))
        body: str = draw(st.sampled_from(["", "x", "xyz"]))
        head = (
            f"POST /save{later} HTTP/1.1\r\nHost: a\r\n{close}Content-Length: {len(body)}\r\n\r\n"
        )
        return f"{head}{body}".encode()
    if kind == 5:
        return (
            f"POST /echo HTTP/1.1\r\nHost: a\r\n{close}Transfer-Encoding: chunked\r\n\r\n"
            "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"
        ).encode()
    if kind == 6:
        cookie = draw(st.sampled_from(["", "Cookie: a=b\r\n", "Cookie: c=d\r\n"]))
        later = draw(st.sampled_from(["", "?later", "?laterlater"]))
        token = draw(st.sampled_from(["", "one", "two", "t w", "="]))
        bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        path = draw(st.sampled_from(["/me", "/bearer"]))
        return f"GET {path}{later} HTTP/1.1\r\nHost: a\r\n{bearer}{cookie}{close}\r\n".encode()
    if kind == 7:
        # A route that leaves some of its requests to the application, and the headers of others.
        path = draw(st.sampled_from(["/choosy", "/choosy", "/choosy?", "/choosy?a=1", "/save"]))
        cookie = draw(st.sampled_from(["", "Cookie: a=b\r\n"]))
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\n{cookie}{close}Content-Length: 3\r\n\r\n"
        return f"{head}abc".encode()
    if kind == 8:
        # Items: written and taken away, by clients that say that there is no body and others.
        item = draw(st.sampled_from(["a", "a-1", "gone", "%61"]))
        method = draw(st.sampled_from(["PUT", "DELETE", "DELETE"]))
        length = draw(st.sampled_from(["", "Content-Length: 0\r\n"]))
        body = ""
        if method == "PUT":
            length, body = "Content-Length: 3\r\n", "abc"
        return (
            f"{method} /things/{item}/{query} HTTP/1.1\r\nHost: a\r\n{close}{length}\r\n{body}"
        ).encode()
    return f"HEAD /hot{query} HTTP/1.1\r\nHost: a\r\n{close}\r\n".encode()


@st.composite
def unusual_requests(draw) -> bytes:
    """A request to a hot route that is right but for one thing, or odd."""
    method = draw(METHODS)
    paths = ["/hot", "/save", "/choosy", "/me", "/bearer", "/things/a-1", "/things/a-1/"]
    target = draw(st.sampled_from(paths))
    target += draw(QUERIES)
    line = f"{method} {target} HTTP/1.1"
    odd_lines = [
        f"{method} {target} HTTP/1.0",
        f"{method} http://a{target} HTTP/1.1",
        f"{method} {target.replace('a', '%61')} HTTP/1.1",
        f"{method}  {target} HTTP/1.1",
        f"{method} {target} HTTP/1.1 ",
    ]
    line = draw(st.sampled_from([line, line, line, *odd_lines]))
    body = draw(st.sampled_from(["", "", "abc"]))
    headers = [draw(HEADERS)] if draw(st.booleans()) else []
    if body or method == "POST":
        headers.append(f"Content-Length: {len(body)}")
    ordered: list[str] = draw(st.permutations(headers))
    return "\r\n".join([line, *ordered, "", body]).encode("latin-1")


@st.composite
def mutated(draw, streams) -> bytes:
    """A stream with a few bytes changed, inserted or taken away."""
    stream = bytearray(draw(streams))
    for _ in range(draw(st.integers(0, 2))):
        if not stream:
            break
        place = draw(st.integers(0, len(stream) - 1))
        change = draw(st.integers(0, 2))
        byte = draw(st.sampled_from(list(b"\r\n :/?#%a0\x00\x7f\xff\t")))
        if change == 0:
            stream[place] = byte
        elif change == 1:
            stream.insert(place, byte)
        else:
            del stream[place]
    return bytes(stream)


RIGHT = st.lists(right_requests(), min_size=1, max_size=6).map(b"".join)
UNUSUAL = st.lists(right_requests() | unusual_requests(), min_size=1, max_size=4).map(b"".join)
ANY = st.lists(right_requests() | loose_requests(), min_size=1, max_size=4).map(b"".join)
STREAMS = RIGHT | UNUSUAL | UNUSUAL | ANY | mutated(RIGHT) | mutated(UNUSUAL) | mutated(ANY)
CUTS = st.lists(st.integers(0, 2_000), max_size=8)
PAUSES = st.lists(st.integers(0, 20), min_size=1, max_size=4)


def examples(count: int) -> settings:
    slow = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=count, deadline=None, suppress_health_check=slow)


def check(stream: bytes, cuts: list[int], pauses: list[int]) -> None:
    expected = asyncio.run(plainly(stream))
    assert asyncio.run(fast(cut(stream, cuts), pauses)) == expected


def check_all_ways(odd: bytes) -> None:
    """Between two usual requests: in one piece, a request a piece, and a byte a piece."""
    usual = first = b"GET /hot?a=1 HTTP/1.1\r\nHost: a\r\n\r\n"
    if odd.startswith(b"POST"):
        usual = first = b"POST /save HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    elif b"uthorization" in odd:
        path = b"/bearer" if odd.startswith(b"GET /bearer") else b"/me"
        head = b"HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer one\r\nCookie: a\r\n\r\n"
        first = b"GET %b %b" % (path, head)
        usual = first.replace(b"one", b"another-2")
    elif odd.startswith(b"GET /me"):
        usual = first = b"GET /me?later HTTP/1.1\r\nHost: a\r\n\r\n"
    # Twice before, so that the second one takes the shortcut and the odd one meets it.
    requests = [first, usual, odd, usual]
    stream = b"".join(requests)
    expected = asyncio.run(plainly(stream))
    assert asyncio.run(fast([stream], [0])) == expected
    assert asyncio.run(fast(requests, [0])) == expected
    assert asyncio.run(fast(requests, [20])) == expected
    assert asyncio.run(fast([bytes([byte]) for byte in stream], [0])) == expected


@pytest.mark.parametrize("header", ALL_HEADERS)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "CONNECT"])
def test_each_odd_header(method, header):
    for target in ("/hot?a=1", "/save"):
        for body in ("", "abc"):
            lines = [f"{method} {target} HTTP/1.1", "Host: a", header, "", body]
            check_all_ways("\r\n".join(lines).encode("latin-1"))
            if method == "POST":
                lines.insert(1, f"Content-Length: {len(body)}")
                check_all_ways("\r\n".join(lines).encode("latin-1"))


@pytest.mark.parametrize(
    "lines",
    [
        ["Authorization: Bearer "],
        ["Authorization: Bearer  two"],
        ["Authorization: Bearer two "],
        ["Authorization: Bearer two three"],
        ["Authorization: Bearer two", "\tthree"],
        ["Authorization:Bearer two"],
        ["Authorization: bearer two"],
        ["Authorization: Basic two"],
        ["authorization: Bearer two"],
        ["AUTHORIZATION: Bearer two"],
        ["X-Authorization: Bearer two"],
        ["X-Authorization: Bearer two", "Authorization:Bearer one"],
        ["Xuthorization: Bearer two", "Authorization:Bearer one"],
        ["X-Authorization: Bearer two", "Authorization: Bearer one"],
        ["Authorization: Bearer two", "Authorization: Bearer three"],
        ["Authorization: Bearer one", "Cookie: uthorization: Bearer two"],
        ["Authorization: Bearer two", "Connection: close"],
        ["Authorization: Bearer two", "Content-Length: 0"],
        ["Authorization: Bearer " + "x" * 2_000],
    ],
)
def test_each_odd_token(lines):
    for path, cookie in itertools.product(["/me", "/bearer"], [[], ["Cookie: a"]]):
        request = [f"GET {path} HTTP/1.1", "Host: a", *lines, *cookie, "", ""]
        check_all_ways("\r\n".join(request).encode())


@pytest.mark.parametrize("cookie", [b"", b"Cookie: a\r\n"])
@pytest.mark.parametrize("query", [b"", b"?", b"?a=1"])
def test_headers_that_another_route_taught(query, cookie):
    head = b" HTTP/1.1\r\nHost: a\r\n%bContent-Length: 3\r\n\r\nabc" % cookie
    taught, choosy = b"POST /save" + head, b"POST /choosy" + query + head
    requests = [taught, taught, choosy, choosy]
    stream = b"".join(requests)
    expected = asyncio.run(plainly(stream))
    assert asyncio.run(fast(requests, [20])) == expected
    assert asyncio.run(fast([stream], [0])) == expected


@pytest.mark.parametrize("query", ALL_QUERIES)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
def test_each_odd_target_and_version(method, query):
    paths = [
        "/hot",
        "/save",
        "/h%6ft",
        "//hot",
        "http://a/hot",
        "hot",
        "*",
        "/hot/",
        "/h\u00f6t",
        "",
    ]
    for path in paths:
        line = f"{method} {path}{query} HTTP/1.1\r\nHost: a\r\n"
        check_all_ways(f"{line}\r\n".encode("latin-1"))
        check_all_ways(f"{line}Content-Length: 1\r\n\r\nx".encode("latin-1"))
    for version in ALL_VERSIONS:
        for connection in ("close", "keep-alive"):
            head = f"{method} /hot{query} HTTP/{version}\r\nConnection: {connection}\r\n\r\n"
            check_all_ways(head.encode("latin-1"))


@pytest.mark.parametrize("length", ["3", "03", "3 ", "+3", "0x3", "4", "", "7"])
def test_each_odd_length(length):
    for body in ("", "abc", "abcd", "ab", "abc\r\n\r\n"):
        for target in ("/save", "/save?later", "/me", "/things/x", "/things/{name}", "/hot"):
            head = f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
            check_all_ways(f"{head}{body}".encode())


PLACES = [
    "GET /hot?a{}b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /hot{}?a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /hot?a=1 HTTP/1.1{}\r\nHost: a\r\n\r\n",
    "GET /hot?a=1 HTTP/1.1\r\nHost: a{}\r\n\r\n",
    "GET /hot?a=1 HTTP/1.1\r\nHost{}: a\r\n\r\n",
    "GET /hot?a=1 HTTP/1.1\r\nHost: a\r\n{}\r\n",
    "GET /hot?a=1 HTTP/1.1\r\nHost: a\r\n\r\n{}",
    "{}GET /hot?a=1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET{} /hot?a=1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a{}b\r\nCookie: a\r\n\r\n",
    "GET /me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}b\r\nCookie: a\r\n\r\n",
    "GET /me HTTP/1.1\r\nHost: a\r\n{}uthorization: Bearer b\r\nCookie: a\r\n\r\n",
    "GET /things/a{}b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /things/a{}?a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /things/{}a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /bearer HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a{}b\r\nCookie: a\r\n\r\n",
    "GET /bearer HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}b\r\nCookie: a\r\n\r\n",
    "POST /save?a{}b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    "POST /save HTTP/1.1\r\nHost: a\r\nContent-Length: 3{}\r\n\r\nabc",
    "POST /save HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n{}\r\nabc",
    "POST /save HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc{}",
]
# What is neither letter nor figure, one of each of those, and both ends of what is not ASCII.
TELLING = [*(byte for byte in range(128) if not chr(byte).isalnum()), *b"Aa0f", 0x80, 0xFF]


@pytest.mark.parametrize(
    "bytes_", [TELLING, pytest.param(range(256), marks=pytest.mark.drill)], ids=["telling", "all"]
)
@pytest.mark.parametrize("template", PLACES)
def test_each_byte_in_each_place(template, bytes_):
    for byte in bytes_:
        check_all_ways(template.format(chr(byte)).encode("latin-1"))


@examples(300)
@given(stream=STREAMS, cuts=CUTS, pauses=PAUSES)
def test_any_stream_gets_what_the_plain_server_gives(stream, cuts, pauses):
    check(stream, cuts, pauses)


@examples(100)
@given(
    requests=st.lists(
        right_requests() | unusual_requests() | mutated(right_requests() | unusual_requests()),
        min_size=2,
        max_size=6,
    ),
    pauses=PAUSES,
)
def test_a_request_a_piece_gets_what_the_plain_server_gives(requests, pauses):
    """The shortcut past the parser is taken only by pieces that are one whole request."""
    expected = asyncio.run(plainly(b"".join(requests)))
    assert asyncio.run(fast(requests, pauses)) == expected


@pytest.mark.drill
@examples(10_000)
@given(stream=STREAMS, cuts=CUTS, pauses=PAUSES)
def test_very_many_streams_get_what_the_plain_server_gives(stream, cuts, pauses):
    check(stream, cuts, pauses)
