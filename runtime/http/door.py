"""What the connections of one worker share: routes, heads, the sweep, and whether it is leaving.

One sweep a second looks at every connection and publishes what was counted. So no request pays
for a timer: a connection only notes the sweep's tick at which it was last heard of.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from typing import TYPE_CHECKING, NamedTuple, cast

from uvicorn.server import ServerState

from runtime.http.answer import Answer
from runtime.http.errors import error_answer
from runtime.http.heads import Heads
from runtime.http.limits import Limits
from runtime.http.routes import ReadRoute, RouteTable
from runtime.metrics import RoutePublisher
from runtime.rounds import Round

if TYPE_CHECKING:
    from runtime.http.connection import HotConnection

# Header blocks that are remembered, at most. Clients of one kind share one.
_BLOCKS_MOST = 1024


class Lesson(NamedTuple):
    """A header block that was parsed: what is in it, and the length of the body it announces,
    None when it announces none.
    """

    block: bytes
    headers: list[tuple[bytes, bytes]]
    body_bytes: int | None


# `Authorization` or `authorization`.
_BEARER = b"uthorization: Bearer "
_BEARER_BLOCK_MOST_BYTES = 1_024
_TOKEN_BYTES = bytes(
    byte
    for byte in range(256)
    if chr(byte).isascii() and (chr(byte).isalnum() or byte in b"-._~+/=")
)


class Door:
    """One worker's fast path; made by its first connection."""

    def __init__(
        self,
        *,
        routes: RouteTable,
        server_state: ServerState,
        limits: Limits,
        loop: AbstractEventLoop,
    ) -> None:
        self.routes = routes
        self.limits = limits
        self.heads = Heads(server_state)
        self.round = Round(loop)
        self.tick = 0
        self.draining = False
        # `GET <path>` -> route, for the shortcut that reads the request line itself.
        self.lines = {b"%b %b" % (route.method, route.path): route for route in routes.exact()}
        # Header blocks that announce a body. Those that do not are kept by each connection, which
        # compares faster than it can look up.
        self.lessons: dict[bytes, Lesson] = {}
        # Requests that no route saw: counted like the others, under a name that no path has.
        self.refused = ReadRoute(b"", b"(refused)", _refuse)
        self._server_state = server_state
        self._loop = loop
        self._publisher = RoutePublisher([*routes, self.refused])
        self._bodiless: dict[bytes, Lesson] = {}
        # By a block without its bearer token: the headers, and which of them has the token.
        self._bearers: dict[bytes, tuple[list[tuple[bytes, bytes]], int]] = {}
        self._answered = 0
        loop.call_later(1.0, self._sweep)

    @classmethod
    def of(
        cls,
        *,
        server_state: ServerState,
        app_state: dict[str, object],
        limits: Limits,
        loop: AbstractEventLoop,
    ) -> Door:
        """The door of this server; without `hot_routes` in lifespan's state, one without routes."""
        door = getattr(server_state, "door", None)
        if not isinstance(door, cls):
            routes = app_state.get("hot_routes")
            door = cls(
                routes=routes if isinstance(routes, RouteTable) else RouteTable(),
                server_state=server_state,
                limits=limits,
                loop=loop,
            )
            server_state.door = door  # type: ignore[attr-defined]
        return door

    def connections(self) -> list[HotConnection]:
        """Every open connection."""
        return cast("list[HotConnection]", list(self._server_state.connections))

    def learn(self, lesson: Lesson) -> Lesson:
        """The same lesson, as one object for all connections whose clients send that block."""
        if lesson.body_bytes is None:
            self._learn_bearer(lesson)
        known = self._bodiless if lesson.body_bytes is None else self.lessons
        if len(known) >= _BLOCKS_MOST:
            known.clear()
        return known.setdefault(lesson.block, lesson)

    def _learn_bearer(self, lesson: Lesson) -> None:
        frame, token = _cut_token(lesson.block)
        header = (b"authorization", b"Bearer " + token)
        names = [name for name, _ in lesson.headers]
        if token and lesson.block.count(_BEARER) == 1 and names.count(b"authorization") == 1:
            at = names.index(b"authorization")
            if lesson.headers[at] == header:
                if len(self._bearers) >= _BLOCKS_MOST:
                    self._bearers.clear()
                self._bearers[frame] = lesson.headers, at

    def token_of(self, block: bytes) -> bytes:
        """The bearer token of a block that differs in nothing else from one that was parsed; empty
        for any other.
        """
        frame, token = _cut_token(block)
        return token if frame in self._bearers else b""

    def with_token(self, block: bytes) -> list[tuple[bytes, bytes]] | None:
        """The headers of a block that differs in nothing but its bearer token from one that was
        parsed; None for any other. Behind a proxy every request of a connection has another.
        """
        frame, token = _cut_token(block)
        known = self._bearers.get(frame) if token else None
        if known is None:
            return None
        headers = known[0].copy()
        headers[known[1]] = b"authorization", b"Bearer " + token
        return headers

    def drain(self) -> None:
        """Begin to leave: next answers say so, and who does not ask within the grace is closed."""
        if self.draining:
            return
        self.round.finish()
        self.draining = True
        self._loop.call_later(self.limits.farewell_s, self._dismiss)

    def _dismiss(self) -> None:
        self.round.finish()
        for connection in self.connections():
            connection.dismiss()
        if self._server_state.connections:
            self._loop.call_later(0.1, self._dismiss)

    def left(self) -> None:
        """A connection is gone. With the last one the worker may go, too: nothing stays unsaid."""
        if not self._server_state.connections:
            self.publish()

    def _sweep(self) -> None:
        self.check()
        self.publish()
        if self._server_state.connections or not self.draining:
            self._loop.call_later(1.0, self._sweep)

    def check(self) -> None:
        """Let a second have passed, and end what has taken too long."""
        self.round.finish()
        self.tick += 1
        for connection in self.connections():
            connection.check(self.tick)

    def publish(self) -> None:
        """Bring metrics and uvicorn's own count up to date."""
        self._publisher.publish()
        answered = sum(route.stats.answered() for route in self.routes)
        self._server_state.total_requests += answered - self._answered
        self._answered = answered


def _cut_token(block: bytes) -> tuple[bytes, bytes]:
    """The block without its bearer token, and the token: empty if there is none, or one with
    bytes that mean something to a parser.
    """
    name = block.find(_BEARER) - 1
    begin = name + 1 + len(_BEARER)
    end = block.find(b"\r\n", begin)
    token = block[begin:end]
    if name < 0 or end < 0 or len(block) > _BEARER_BLOCK_MOST_BYTES:
        return block, b""
    # Not of a header whose name ends so.
    if block[name] not in b"Aa" or (name and block[name - 2 : name] != b"\r\n"):
        return block, b""
    if token.translate(None, _TOKEN_BYTES):
        return block, b""
    return block[:begin] + block[end:], token


def _refuse(_query: bytes) -> Answer:
    return error_answer(400, "request: is not valid HTTP")
