"""Drives protocol objects without sockets: a transport double, and what went over it."""

import asyncio
import re
from collections import deque

import uvicorn
from uvicorn.server import ServerState

from runtime.http.connection import HotConnection
from runtime.http.door import Door

HIGH_WATER_BYTES = 65_536
LOW_WATER_BYTES = 16_384
_SPLIT = re.compile(rb"(?=HTTP/1\.1 \d\d\d )")


class Wire(asyncio.Transport):
    """A transport whose client reads at once, or, with `reads=False`, only when told to."""

    def __init__(self, protocol, *, reads: bool = True) -> None:
        super().__init__()
        self.protocol = protocol
        self.reads = reads
        self._sent = bytearray()
        self.unread_bytes = 0
        self.most_unread_bytes = 0
        self.closing = False
        self.half_closed = False
        self.aborted = False
        self.paused = False
        self.writes = 0
        self.late_writes = 0
        self._stalled = False
        self._waiting: deque[bytes] = deque()

    def get_extra_info(self, name, default=None):
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def is_closing(self):
        return self.closing

    def write(self, data):
        if self.closing or self.half_closed:
            self.late_writes += 1
            return
        self.writes += 1
        self._sent += data
        if not self.reads:
            self.unread_bytes += len(data)
            self.most_unread_bytes = max(self.most_unread_bytes, self.unread_bytes)
            if self.unread_bytes > HIGH_WATER_BYTES and not self._stalled:
                self._stalled = True
                self.protocol.pause_writing()

    def get_write_buffer_size(self):
        return self.unread_bytes

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.half_closed = True

    def close(self):
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self):
        self.aborted = True
        self.close()

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._deliver)

    def end_turn(self) -> None:
        """What the event loop does when it has read what there is."""
        if isinstance(self.protocol, HotConnection):
            self.protocol.door.round.finish()

    @property
    def sent(self) -> bytearray:
        """All that the client gets, once this turn of the loop is over."""
        self.end_turn()
        return self._sent

    # What the client does.

    def receive(self, data: bytes) -> None:
        """The client sends; the bytes wait while the server does not read."""
        self.receive_more(data)
        self.end_turn()

    def receive_more(self, data: bytes) -> None:
        """The same, with more to come within this turn of the loop."""
        self._waiting.append(data)
        self._deliver()

    def _deliver(self) -> None:
        while self._waiting and not self.paused and not self.closing:
            self.protocol.data_received(self._waiting.popleft())

    def client_reads(self, count_bytes: int) -> None:
        """The client takes bytes out of the buffers."""
        self.unread_bytes = max(0, self.unread_bytes - count_bytes)
        if self._stalled and self.unread_bytes <= LOW_WATER_BYTES:
            self._stalled = False
            self.protocol.resume_writing()

    @property
    def unreceived_bytes(self) -> int:
        """What the client has sent and the server has not taken."""
        return sum(map(len, self._waiting))

    @property
    def ended(self) -> bool:
        """Whether the client sees the end of the stream."""
        return self.closing or self.half_closed


class Bench:
    """A protocol class with an application, without a server."""

    def __init__(self, protocol_class, app, state=None, **settings) -> None:
        self.config = uvicorn.Config(
            app,
            http=protocol_class,
            ws="none",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            **settings,
        )
        self.config.load()
        self._protocol_class = protocol_class
        self.server_state = ServerState()
        self.state = state or {}

    def connect(self, *, reads: bool = True) -> Wire:
        protocol = self._protocol_class(
            config=self.config, server_state=self.server_state, app_state=self.state
        )
        wire = Wire(protocol, reads=reads)
        protocol.connection_made(wire)
        return wire

    @property
    def door(self) -> Door:
        """What the connections of a fast path share."""
        return door_of(self.server_state)

    async def settle(self) -> None:
        """Let everything happen that does not wait for the client."""
        for _ in range(3):
            await asyncio.sleep(0)
        for _ in range(40):
            if not self.server_state.tasks:
                break
            await asyncio.sleep(0)
        for _ in range(8):
            await asyncio.sleep(0)

    async def leave(self) -> None:
        """End what still waits for its client, while somebody holds it: a task that is collected
        before its loop ends is an error.
        """
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def door_of(server_state: ServerState) -> Door:
    door = getattr(server_state, "door", None)
    assert isinstance(door, Door)
    return door


def answers(sent: bytes | bytearray) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    """The answers in what a server has sent: status, headers without the date, body."""
    found = []
    for piece in _SPLIT.split(bytes(sent)):
        if not piece:
            continue
        head, _, body = piece.partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        headers = dict(each.lower().split(b": ", 1) for each in lines)
        headers.pop(b"date", None)
        found.append((int(line.split()[1]), headers, body))
    return found


def outcome(wire) -> tuple[list, bool]:
    """What the client sees. The text of a 400 for bytes that are no HTTP is ours to choose."""
    seen: list[tuple] = []
    for status, headers, body in answers(wire.sent):
        ours = status == 400 and body == b'{"msg":"request: is not valid HTTP"}'
        theirs = status == 400 and body == b"Invalid HTTP request received."
        if ours or theirs:
            # `100 Continue` promises nothing, and nobody waited for it whose body is here already.
            while seen and seen[-1][0] == 100:
                seen.pop()
            seen.append((400, b"not HTTP", headers.get(b"connection")))
        elif status == 500 and b"internal error" in body.lower().replace(b" server ", b" "):
            seen.append((500, b"broken", None))
        else:
            seen.append((status, body, sorted(headers.items())))
    return seen, wire.ended
