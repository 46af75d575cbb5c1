"""One connection of the fast path: what it owes, in which order, and how it ends.

`runtime.http.protocol` parses what arrives and calls this; here is everything that happens
between a complete request and the bytes of its answer.
"""

import asyncio
from collections import deque
from time import perf_counter
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from runtime.http.answer import Answer
from runtime.http.door import Door
from runtime.http.errors import INTERNAL_ERROR, error_answer
from runtime.http.limits import Limits
from runtime.http.routes import HotRequest, ReadRoute, Route, WriteRoute
from runtime.http.turns import (
    AppTurn,
    ReadTurn,
    RefusalTurn,
    Turn,
    WriteTurn,
)

_SLOW = error_answer(408, "request: did not arrive in time")
# Answers to one burst of requests are written together up to this size.
_BURST_BYTES = 65_536


class HotConnection(HttpToolsProtocol):
    """The state of a connection and the order of its answers.

    At any time it is inside one message that is arriving (`_in_head`, `_in_body`) or between two,
    and it owes answers to those before: `_active`, the ASGI request being answered, then `_turns`.
    It is `_quiet` when neither is the case and nothing else is in the way. A read that arrives
    then is `_held` in the worker's round until this turn of the event loop ends. While it only
    waits for one write's answer and nothing else has happened since it was quiet, that turn is the
    `sole` one. Once `_deaf`, it takes no more input.
    """

    limits = Limits()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.door = Door.of(
            server_state=server_state, app_state=app_state, limits=self.limits, loop=self.loop
        )
        self._round = self.door.round
        self._quiet = not self.door.draining
        self._held = False
        self._tick = self.door.tick
        # The message that is arriving.
        self._in_head = False
        self._in_body = False
        self._body_bytes = 0
        self._route: Route | None = None
        # What is owed.
        self._turns: deque[Turn] = deque()
        self._active: RequestResponseCycle | None = None
        self._taking_turns = False
        self.sole: WriteTurn | None = None
        # How it ends.
        self._last = False
        self._deaf = False
        self._eof = False
        self._lingering = False
        # Answers of the burst that is being parsed.
        self._feeding = False
        self._burst: list[bytes] = []
        self._burst_bytes = 0
        self._unsent_bytes = 0

    # -- what the transport tells ---------------------------------------------------------------

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """A client may close its side first and still wait for what it is owed."""
        self._round.finish()
        self._eof = self._deaf = True
        self._stir()
        return bool(self._turns)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left."""
        self._round.finish()
        super().connection_lost(exc)
        self._stir()
        self._deaf = True
        if self._active is not None:
            self._active.disconnected = True
            self._active.message_event.set()
        for turn in self._turns:
            if isinstance(turn, WriteTurn):
                turn.forget()
        self._turns.clear()
        self.door.left()

    def pause_writing(self) -> None:
        """The client does not read: nothing more is answered until it does."""
        super().pause_writing()
        self._stir()
        self._tick = self.door.tick

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self.take_turns()

    def _stir(self) -> None:
        """Something unusual happens: from now on every answer goes the long way."""
        self._quiet = False
        self.sole = None

    # -- answering, in order --------------------------------------------------------------------

    def _begin_usual(self, route: WriteRoute, request: HotRequest) -> None:
        """Begin the only thing that this connection owes."""
        self._quiet = False
        turn = WriteTurn(self, route, request, close=False)
        self._turns.append(turn)
        self.sole = turn
        turn.begin()

    def answer_sole(self, answer: Answer) -> None:
        """Write the answer of the sole turn, after which this connection is quiet again."""
        self.sole = None
        self._turns.popleft()
        self._tick = self.door.tick
        # Before the write, which may find that the client does not read.
        self._quiet = True
        self.transport.write(self.door.heads.encode(answer, close=False))

    def _enqueue_write(self, route: WriteRoute, request: HotRequest) -> None:
        turn = WriteTurn(self, route, request, close=self._last)
        # A write need not wait for the answers of writes before it, only for everything else.
        ahead = self._turns[-1] if self._turns else None
        begin = not self._blocked() and (
            ahead is None or (isinstance(ahead, WriteTurn) and ahead.begun)
        )
        self._turns.append(turn)
        if begin:
            turn.begin()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._turns or self._blocked():
            self._turns.append(AppTurn(cycle, app))
        else:
            self._start(cycle, app)

    def _start(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._active = cycle
        if self.door.draining and not self._turns:
            cycle.keep_alive = False
        super()._start_asgi_task(cycle, app)

    def _blocked(self) -> bool:
        """Whether nothing may be answered now, not even the oldest turn."""
        return (
            self._active is not None
            or self.flow.write_paused
            # Which answer is the last one, and says so, is known when the burst is parsed.
            or (self._feeding and self.door.draining)
        )

    def take_turns(self) -> None:
        """Answer whatever can be answered now."""
        if self._taking_turns or self._feeding or self.transport.is_closing():
            return
        self._taking_turns = True
        try:
            while self._turns and not self._blocked() and self._take_turn(self._turns[0]):
                pass
        finally:
            self._taking_turns = False
        self._settle()

    def _take_turn(self, turn: Turn) -> bool:
        """Take the oldest turn; False when it must be waited for, or was the last one."""
        if isinstance(turn, WriteTurn):
            if not turn.begun:
                self._begin_writes()
            if turn.answer is None:
                return False
            self._turns.popleft()
            if not turn.answer.status:
                # Nobody knows what became of it, so nothing is said, nor to what comes behind.
                self._close()
                return False
            self._write(turn.answer, close=turn.close or self._leaves())
            return not self.transport.is_closing()
        self._turns.popleft()
        if isinstance(turn, ReadTurn):
            self._answer_read(turn.route, turn.query, close=turn.close or self._leaves())
            return not self.transport.is_closing()
        if isinstance(turn, AppTurn):
            self._start(turn.cycle, turn.app)
        else:
            self._say_goodbye(turn.answer)
        return False

    def _begin_writes(self) -> None:
        for turn in list(self._turns):
            if not isinstance(turn, WriteTurn):
                return
            turn.begin()

    def _leaves(self) -> bool:
        """Whether the answer at hand is the last one, since the worker stops."""
        return self.door.draining and not (self._turns or self._in_head or self._in_body)

    def _answer_read(self, route: ReadRoute, query: bytes, *, close: bool) -> None:
        started_s = perf_counter()
        try:
            answer = route.handler(query)
        except Exception:
            self.logger.exception("Exception in hot handler of %r", route.path)
            answer, close = INTERNAL_ERROR, True
        self._write(answer, close=close)
        route.stats.add(answer.status, perf_counter() - started_s)

    def _write(self, answer: Answer, *, close: bool) -> None:
        self._tick = self.door.tick
        output = self.door.heads.encode(answer, close=close)
        if not self._feeding:
            self.transport.write(output)
        else:
            self._burst.append(output)
            self._burst_bytes += len(output)
            if self._burst_bytes > _BURST_BYTES:
                self._flush()
        if close:
            self._close()

    def _flush(self) -> None:
        if self._burst:
            self.transport.write(b"".join(self._burst))
            self._burst.clear()
            self._burst_bytes = 0

    def _close(self) -> None:
        self._flush()
        self._deaf = True
        self._stir()
        self.transport.close()

    def on_response_complete(self) -> None:
        """The ASGI application has answered."""
        self.server_state.total_requests += 1
        self._active = None
        self._tick = self.door.tick
        self.take_turns()

    def _settle(self) -> None:
        """Decide what comes next, once nothing more can be done now."""
        turns = self._turns
        if self.transport.is_closing():
            self._quiet = False
        elif self._active is None and not turns:
            if self._eof:
                self._close()
                return
            if not self.flow.write_paused:
                self.flow.resume_reading()
            self._quiet = not (
                self._in_head
                or self._in_body
                or self._deaf
                or self.flow.write_paused
                or self.door.draining
            )
        else:
            self._quiet = False
            # One write that is under way is what a client usually waits for without a word.
            if len(turns) > 1 or self._blocked():
                self._hold_reading()

    def _hold_reading(self) -> None:
        # A request that is being answered may still need the rest of its body.
        if self._turns and not self._in_body:
            self.flow.pause_reading()

    # -- refusing -------------------------------------------------------------------------------

    def _refuse_message(self, answer: Answer) -> None:
        """Refuse the message that is arriving, which may already be in the application's hands."""
        cycle = self.cycle if self._in_body and self._route is None else None
        if cycle is None:
            self._refuse(answer)
        elif cycle.response_complete:
            # Answered before it was all there, and once is enough.
            self._close()
        elif cycle is not self._active:
            self._turns.pop()
            self._refuse(answer)
        elif cycle.response_started:
            self._close()
        else:
            cycle.disconnected = True
            cycle.waiting_for_100_continue = False
            cycle.message_event.set()
            self._active = None
            self._refuse(answer)

    def _refuse(self, answer: Answer) -> None:
        """Answer in turn, and take nothing more from this client."""
        self._deaf = True
        self._stir()
        self._in_head = self._in_body = False
        self.door.refused.stats.refuse(answer.status)
        self._turns.append(RefusalTurn(answer))
        self.take_turns()

    def _say_goodbye(self, answer: Answer) -> None:
        """Write the last answer, and let the client read it though it may still be sending.

        Closing at once, with input unread, would reset the connection and lose the answer.
        """
        self.transport.write(self.door.heads.encode(answer, close=True))
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self._lingering = True
        self._tick = self.door.tick
        self.flow.resume_reading()

    # -- time -----------------------------------------------------------------------------------

    def check(self, tick: int) -> None:
        """Called by the sweep, once a second."""
        limits, age_s = self.limits, tick - self._tick
        if self._lingering:
            if age_s > limits.linger_s:
                self.transport.abort()
        elif self.flow.write_paused:
            self._check_reader(tick, age_s)
        elif self._in_head:
            if age_s > limits.head_s and not self._owes():
                self._refuse(_SLOW)
        elif self._in_body:
            allowed_s = limits.body_s + self._body_bytes // limits.body_rate_bytes
            if age_s > allowed_s and not (self._turns or self.flow.read_paused):
                self._refuse_message(_SLOW)
        elif age_s > limits.keep_alive_s and not self._owes():
            self._close()

    def _owes(self) -> bool:
        return self._active is not None or bool(self._turns)

    def _check_reader(self, tick: int, age_s: int) -> None:
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes != self._unsent_bytes:
            self._unsent_bytes = unsent_bytes
            self._tick = tick
        elif age_s > self.limits.send_s:
            self.transport.abort()

    def shutdown(self) -> None:
        """The server stops: answer what was accepted, and give the idle a chance to hear of it."""
        self.door.drain()
        self._stir()
        if self._active is not None and not self._turns:
            self._active.keep_alive = False

    def dismiss(self) -> None:
        """The grace of a stopping worker is over."""
        if not (self._owes() or self._in_head or self._in_body or self.flow.write_paused):
            self._close()
