"""Requests of one connection that wait for their turn.

Answers leave in the order in which requests came. A request that cannot be answered at once, or
that came behind one that could not, becomes a turn in the connection's queue.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from runtime.http.answer import Answer
from runtime.http.errors import INTERNAL_ERROR
from runtime.http.routes import HotRequest, ReadRoute, WriteRoute

if TYPE_CHECKING:
    from runtime.http.connection import HotConnection


class ReadTurn(NamedTuple):
    """A hot read, not yet looked up."""

    route: ReadRoute
    query: bytes
    close: bool


class AppTurn(NamedTuple):
    """A request for the ASGI application, not yet started."""

    cycle: RequestResponseCycle
    app: Any


class RefusalTurn(NamedTuple):
    """The last answer of a connection whose input makes no sense or is too much."""

    answer: Answer


class WriteTurn:
    """A durable write or later read, which has begun once its handler was called."""

    __slots__ = ("_protocol", "_request", "_started_s", "answer", "begun", "close", "route")

    def __init__(
        self, protocol: HotConnection, route: WriteRoute, request: HotRequest, *, close: bool
    ) -> None:
        self._protocol: HotConnection | None = protocol
        self._request: HotRequest | None = request
        self._started_s = perf_counter()
        self.route = route
        self.close = close
        self.begun = False
        self.answer: Answer | None = None

    def begin(self) -> None:
        """Hand the request to its handler."""
        self.begun = True
        request, self._request = self._request, None
        assert request is not None
        try:
            self.route.handler(request, self._reply)
        except Exception:
            if self._protocol is not None:
                self._protocol.logger.exception("Exception in hot handler of %r", self.route.path)
            if self.answer is None:
                self.close = True
                if self._protocol is not None:
                    self._protocol.sole = None
                self._reply(INTERNAL_ERROR)

    def _reply(self, answer: Answer) -> None:
        if self.answer is not None:
            raise RuntimeError("a hot request is answered once")
        self.answer = answer
        self.route.stats.add(answer.status, perf_counter() - self._started_s)
        # Without the connection in hand, an answer that never comes keeps nothing alive.
        protocol, self._protocol = self._protocol, None
        if protocol is None:
            return
        if protocol.sole is self and answer.status:
            protocol.answer_sole(answer)
        else:
            protocol.take_turns()

    def forget(self) -> None:
        """The client is gone: what has begun goes on, and nobody waits for its answer."""
        self._protocol = None


Turn = ReadTurn | WriteTurn | AppTurn | RefusalTurn
