"""The fast path: uvicorn's httptools protocol, answering hot routes before any ASGI machinery.

`FastPathProtocol` is what `http=` of uvicorn's settings takes. It finds its `RouteTable` in
lifespan's state under `hot_routes`. Everything else, and every unusual request to a hot route,
goes on to the ASGI application as the plain server would send it.

It leans on uvicorn's internals: the version is pinned, and a test names each method that is
overridden here or called there.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from runtime.http.answer import Answer
from runtime.http.connection import HotConnection
from runtime.http.door import Lesson
from runtime.http.errors import INTERNAL_ERROR, error_answer
from runtime.http.routes import HotRequest, ReadRoute, Route, WriteRoute, item_of
from runtime.http.stats import FIRST_BOUND_S
from runtime.http.turns import ReadTurn

_NOT_HTTP = error_answer(400, "request: is not valid HTTP")
_HEAD_TOO_LARGE = error_answer(431, "headers: are too large")
_BODY_TOO_LARGE = error_answer(413, "body: is too large")

# Headers that make a request unusual: what they ask for is the plain server's business.
_UNUSUAL = frozenset([b"expect", b"upgrade", b"transfer-encoding"])
_FIRST_OF_GET = ord("G")
# The bytes that the parser takes in a query, and hands on as they are: all visible ASCII but `#`.
# `translate` leaves these alone and changes every other one.
_PLAIN = bytes(b if 0x21 <= b <= 0x7E and b != 0x23 else b ^ 0x80 for b in range(256))
_QUERY_MOST_BYTES = 8_192
# Header blocks longer than this are not remembered, nor are more than a few of one connection.
_BLOCK_MOST_BYTES = 1_024
_LESSONS_MOST = 16
# Nothing longer can be answered without the parser, and what is held takes memory.
_HELD_MOST_BYTES = _QUERY_MOST_BYTES + 2 * _BLOCK_MOST_BYTES


class FastPathProtocol(HotConnection):
    """One connection: what arrives on it."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._lines = {} if self.limit_concurrency else self.door.lines
        # The header block of the last usual request without a body, once it was parsed.
        self._block: bytes | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._lessons = 0
        # The message that is arriving.
        self._begun = 0
        self._head_bytes = 0
        self._bare_bytes = 0
        self._unusual = False
        self._declared_bytes: int | None = None
        self._query = b""
        self._body: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        """Take a read between two requests into the round; see to anything else at once."""
        if self._held:
            self._round.finish()
        if self._quiet:
            if data[0] == _FIRST_OF_GET and len(data) <= _HELD_MOST_BYTES:
                self._quiet = False
                self._held = True
                self._round.take(self, data)
            else:
                # The batch that a write joins may leave within this very turn.
                self.look(data)
            return
        self.sole = None
        if not self._deaf:
            self._feed(data)

    def look(self, data: bytes) -> None:
        """Answer the usual request at once; give anything else to the parser."""
        self._held = False
        self._quiet = True
        line, _, rest = data.partition(b" HTTP/1.1\r\n")
        target, _, query = line.partition(b"?")
        route = self._lines.get(target)
        # What is left to check, once the headers are known, is that the parser would take the
        # query.
        if (
            route is not None
            and len(query) <= _QUERY_MOST_BYTES
            and query.translate(_PLAIN) == query
        ):
            if isinstance(route, ReadRoute):
                if rest == self._block:
                    self._answer_usual(route, route.handler, query)
                    return
            elif self._shortcut(route, query, rest):
                return
        self._feed(data)

    def _shortcut(self, route: WriteRoute, query: bytes, rest: bytes) -> bool:
        """Begin a request whose very headers were parsed before, between two requests like this
        one, or answer it at once; False if they were not.
        """
        if route.takes_body:
            body_at = rest.find(b"\r\n\r\n") + 4
            lesson = self.door.lessons.get(rest[:body_at])
            if lesson is None or lesson.body_bytes != len(rest) - body_at:
                return False
            # Another route may have taught these headers.
            if route.usual is not None and not route.usual(query, lesson.headers):
                return False
            headers, body = lesson.headers, rest[body_at:]
        elif (
            route.at_once is not None
            and (token := self.door.token_of(rest))
            and self._answer_usual(route, route.at_once, token)
        ):
            return True
        elif rest == self._block:
            headers, body = self._headers, b""
        else:
            known = self.door.with_token(rest)
            if known is None:
                return False
            headers, body = known, b""
        client = self.client[0] if self.client else ""
        self._begin_usual(route, HotRequest(query, body, headers, client))
        return True

    def _answer_usual(
        self, route: Route, handler: Callable[[bytes], Answer | None], given: bytes
    ) -> bool:
        """Answer between two requests like this one; False when the handler has no answer."""
        started_s = perf_counter()
        self._tick = self.door.tick
        try:
            answer = handler(given)
        except Exception:
            self.logger.exception("Exception in hot handler of %r", route.path)
            self._write(INTERNAL_ERROR, close=True)
            route.stats.add(500, perf_counter() - started_s)
            return True
        if answer is None:
            return False
        status, body, headers = answer
        heads = self.door.heads
        if (
            status == 200
            and headers is heads.usual_headers
            and self.server_state.default_headers is heads.usual_defaults
        ):
            self._round.send(self.transport, b"%b%d\r\n\r\n%b" % (heads.usual, len(body), body))
        else:
            self._round.send(self.transport, heads.encode(answer, close=False))
        duration_s = perf_counter() - started_s
        stats = route.stats
        # What `add` does first, without the call.
        if status == 200 and duration_s <= FIRST_BOUND_S:
            stats.usual += 1
            stats.total_s += duration_s
        else:
            stats.add(status, duration_s)
        return True

    def _feed(self, data: bytes) -> None:
        lesson = self._quiet and self._lessons < _LESSONS_MOST
        arriving = self._in_head or self._in_body
        body_bytes = self._body_bytes if arriving else 0
        self._begun = 0
        self._feeding = True
        try:
            self._parse(data)
        finally:
            self._feeding = False
            self._flush()
        if self._begun == (0 if arriving else 1) and body_bytes == self._body_bytes:
            # All of it was one head (or trailers), of which the parser may hold back a part.
            self._bare_bytes += len(data)
        if self._in_head or self._in_body:
            self._check_head()
        if self._turns:
            self.take_turns()
        self._settle()
        if lesson and self._begun == 1 and self._route is not None and not self._deaf:
            self._learn(data)

    def _check_head(self) -> None:
        if max(self._head_bytes, self._bare_bytes) > self.limits.head_bytes:
            self._refuse_message(_HEAD_TOO_LARGE)

    def _parse(self, data: bytes) -> None:
        while data and not self._deaf:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # Declined by going on in HTTP, with the bytes that follow the request.
                self._unsupported_upgrade_warning()
                data = data[upgrade.args[0] :]
            except httptools.HttpParserError:
                if not self._deaf:
                    self._refuse_message(_NOT_HTTP)
                return
            else:
                return

    def _learn(self, data: bytes) -> None:
        """Remember the header block of a usual request, if that was all of `data`."""
        if self._in_head or self._in_body or self._last:
            return
        self._lessons += 1
        line, _, rest = data.partition(b" HTTP/1.1\r\n")
        body_at = rest.find(b"\r\n\r\n") + 4
        declared_bytes = self._declared_bytes
        if (
            4 < body_at <= _BLOCK_MOST_BYTES
            and len(rest) - body_at == (declared_bytes or 0)
            and line == b"%b %b" % (self.parser.get_method(), self.url)
        ):
            lesson = self.door.learn(Lesson(rest[:body_at], self.headers, declared_bytes))
            if declared_bytes is None:
                self._block, self._headers = lesson.block, lesson.headers

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        # After a request that closes the connection, the parser itself takes no other.
        if self._deaf:
            return
        self._begun += 1
        self._quiet = False
        self._in_head = True
        self._head_bytes = self._bare_bytes = self._body_bytes = 0
        self._unusual = False
        self._declared_bytes = None
        self._route = None
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._tick = self.door.tick

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        if self._deaf:
            return
        name = name.lower()
        self._head_bytes += len(name) + len(value) + 4
        self.headers.append((name, value))
        if not self._in_head:
            return  # A trailer.
        if name in _UNUSUAL:
            self._unusual = True
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
        elif name == b"content-length":
            self._declared_bytes = int(value)

    def on_headers_complete(self) -> None:
        """Find out whose request it is."""
        if self._deaf:
            return
        self._in_head = False
        self._in_body = True
        if self._head_bytes + len(self.url) > self.limits.head_bytes:
            self._refuse(_HEAD_TOO_LARGE)
        elif self._declared_bytes is not None and self._declared_bytes > self.limits.body_bytes:
            self._refuse(_BODY_TOO_LARGE)
        else:
            self._last = not self.parser.should_keep_alive()
            self._route = self._hot_route()
            if self._route is None:
                self._begin_asgi()

    def _hot_route(self) -> Route | None:
        """The route, if this is a usual request to a hot one."""
        path, _, query = self.url.partition(b"?")
        route = self.door.routes.find(self.parser.get_method(), path)
        if (
            route is None
            or self._unusual
            or self.limit_concurrency
            or len(query) > _QUERY_MOST_BYTES
            or query.translate(_PLAIN) != query
            or self.parser.get_http_version() != "1.1"
            or (self._declared_bytes is None if route.takes_body else self._declared_bytes)
            or (route.usual is not None and not route.usual(query, self.headers))
        ):
            return None
        self._query = query
        self._body = []
        return route

    def _begin_asgi(self) -> None:
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        # The base class makes the scope where a message begins, which hot requests do without.
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)
        # The order of answers is kept by `_start_asgi_task`, not by the base class.
        self.cycle = None  # type: ignore[assignment]
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._deaf:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self.limits.body_bytes:
            self._refuse_message(_BODY_TOO_LARGE)
        elif self._route is None:
            super().on_body(body)
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """The last byte of a request: a hot one is answered here."""
        if self._deaf:
            return
        self._in_body = False
        route = self._route
        if route is None:
            super().on_message_complete()
        elif isinstance(route, WriteRoute):
            body, self._body = b"".join(self._body), []
            client = self.client[0] if self.client else ""
            item = item_of(self.url.partition(b"?")[0])
            self._enqueue_write(route, HotRequest(self._query, body, self.headers, client, item))
        elif self._turns or self._blocked():
            self._turns.append(ReadTurn(route, self._query, self._last))
        else:
            self._answer_read(route, self._query, close=self._last)
