"""One connection: lines come in, each is answered, in the order in which they came.

A packet that the process can answer from memory is answered within the call that brought it, all
of a burst by one write. One that cannot begins to wait, and nothing that came behind it is looked
at before its answer: what the next packet means may depend on it. So a connection keeps one
buffer of what has arrived and was not looked at, and a few flags.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, cast

from accounts.packets.codec import STOP, encode_failure

if TYPE_CHECKING:
    from accounts.packets.door import Door

# A burst is answered in pieces of this size, so that a client that does not read is noticed, and
# of so many lines, so that other connections have their turn.
_PIECE_BYTES = 65_536
_PIECE_LINES = 256
_CROWDED = encode_failure("connections: there are too many, try again later")


class PacketConnection(asyncio.Protocol):
    """The state of one connection.

    `_unread` has arrived and was not looked at. While `_waiting` for an answer (or for its next
    turn), or `_clogged` because the client does not read, nothing is looked at, and beyond some
    bytes nothing is read (`_halted`). Once `_deaf`, what arrives is thrown away. `heard_tick` is
    when a whole line came last, or when what counts instead began; the sweep compares. `client` is
    the peer's address.
    """

    __slots__ = (
        "_clogged",
        "_deaf",
        "_door",
        "_eof",
        "_halted",
        "_transport",
        "_unread",
        "_waiting",
        "client",
        "heard_tick",
    )

    def __init__(self, door: Door) -> None:
        self._door = door
        self.client = ""
        self._transport: asyncio.Transport | None = None
        self._unread: bytes | bytearray = b""
        self._waiting = False
        self._clogged = False
        self._halted = False
        self._deaf = False
        self._eof = False
        self.heard_tick = door.tick

    # -- what the transport tells ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.client = str(peer[0]) if peer else ""
        if not self._door.join(self) and not self._deaf:
            self._transport.write(_CROWDED)
            self._finish(unread=True)

    def data_received(self, data: bytes) -> None:
        """Bytes arrived: whole lines, a part of one, or both."""
        if self._waiting or self._clogged or self._deaf:
            self._keep(data)
        elif not self._unread:
            # Nearly always one line, which has been answered before.
            if data.find(b"\n") != len(data) - 1 or not self._answer_known(data):
                self._answer(data)
        elif b"\n" in data:
            unread, self._unread = bytes(self._unread), b""
            self._answer(unread + data)
        else:
            self._keep(data)
            self._mind_length()

    def eof_received(self) -> bool:
        """The client closed its side; it gets the answers to the whole lines it has sent."""
        self._eof = True
        return self.owes

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over. An answer that is still to come goes nowhere."""
        self._transport = None
        self._deaf = True
        self._unread = b""
        self._door.leave(self)

    def pause_writing(self) -> None:
        """The client does not read: nothing more is answered until it does."""
        self._clogged = True
        self.heard_tick = self._door.tick

    def resume_writing(self) -> None:
        """The client has read."""
        self._clogged = False
        self.heard_tick = self._door.tick
        if not self._waiting:
            self._go_on()

    # -- answering ------------------------------------------------------------------------------

    def _answer_known(self, data: bytes) -> bool:
        started_s, door = perf_counter(), self._door
        known = door.known_lines.find(data[:-1])
        if known is None or self._transport is None:
            return False
        self.heard_tick = door.tick
        self._transport.write(known.answer)
        stats = door.stats
        stats.answers[known.format][1] += 1
        stats.at_once(1, perf_counter() - started_s)
        return True

    def _answer(self, data: bytes) -> None:
        """Answer the lines of `data` until one has to wait, and keep the rest."""
        started_s = perf_counter()
        door, longest = self._door, self._door.limits.line_bytes
        answers: list[bytes] = []
        start = size_bytes = 0
        while (end := data.find(b"\n", start)) >= 0:
            line = data[start:end]
            too_long = _length(line) > longest
            if too_long or line == STOP or line == b"STOP\r":
                self._write(answers, started_s)
                self._finish(unread=too_long or end + 1 < len(data))
                return
            start = end + 1
            answer = door.answer(line, self)
            if answer is None:
                self._waiting = True
                break
            answers.append(answer)
            size_bytes += len(answer)
            if size_bytes > _PIECE_BYTES or len(answers) == _PIECE_LINES:
                self._waiting = True
                door.soon(self._go_on)
                break
        if start:
            self.heard_tick = door.tick
        self._unread = data[start:]
        self._write(answers, started_s)
        self._mind_length()

    def reply(self, answer: bytes) -> None:
        """The answer to the packet that waits."""
        if self._transport is None or self._deaf:
            return
        self.heard_tick = self._door.tick
        self._transport.write(answer)
        self._go_on()

    def _go_on(self) -> None:
        """Look at what has arrived meanwhile."""
        self._waiting = False
        if self._clogged or self._deaf or self._transport is None:
            return
        if self._unread:
            unread, self._unread = bytes(self._unread), b""
            self._answer(unread)
        if self._waiting or self._clogged or self._deaf:
            return
        if self._halted:
            self._halted = False
            self._transport.resume_reading()
        if self._eof:
            self._finish()

    def _write(self, answers: list[bytes], started_s: float) -> None:
        if answers and self._transport is not None:
            self._transport.write(b"".join(answers) if len(answers) > 1 else answers[0])
            self._door.stats.at_once(len(answers), perf_counter() - started_s)

    # -- what arrives and is not looked at ------------------------------------------------------

    def _keep(self, data: bytes) -> None:
        if self._deaf or self._transport is None:
            return
        if not isinstance(self._unread, bytearray):
            self._unread = bytearray(self._unread)
        self._unread += data
        if (self._waiting or self._clogged) and not self._halted:
            self._halted = len(self._unread) > 2 * self._door.limits.line_bytes
            if self._halted:
                self._transport.pause_reading()

    def _mind_length(self) -> None:
        """A line that is too long ends the connection, also before its end has come."""
        if _length(self._unread) > self._door.limits.line_bytes and not self.owes:
            self._finish(unread=True)

    # -- how it ends ----------------------------------------------------------------------------

    @property
    def owes(self) -> bool:
        """Whether whole lines have come that were not answered yet."""
        return self._waiting or (self._clogged and b"\n" in self._unread)

    def dismiss(self) -> None:
        """The process leaves: so does a connection that owes nothing."""
        if not self._deaf and not self.owes:
            self._finish()

    def abort(self) -> None:
        """End it now, whatever the client has not read."""
        if self._transport is not None:
            self._deaf = True
            self._transport.abort()

    def check(self, tick: int) -> None:
        """Once a second: what has taken too long ends."""
        silent_s, limits = tick - self.heard_tick, self._door.limits
        if self._transport is None or (self._waiting and not self._clogged):
            return
        if self._clogged or self._deaf:
            if silent_s > (limits.send_s if self._clogged else limits.linger_s):
                self.abort()
        elif silent_s > limits.idle_s:
            self._finish()

    def _finish(self, *, unread: bool = False) -> None:
        """Say nothing more. With `unread` bytes on their way, only our side is closed at first:
        closing both would make the kernel throw away what the client has not read yet.
        """
        if self._transport is None or self._deaf:
            return
        self._deaf = True
        self._unread = b""
        self.heard_tick = self._door.tick
        if self._eof or not unread:
            self._transport.close()
            return
        if self._halted:
            self._transport.resume_reading()
        self._transport.write_eof()


def _length(line: bytes | bytearray) -> int:
    """In bytes, without its end, which is LF or CR LF."""
    return len(line) - line.endswith(b"\r")
