"""A serving process in a thread, with answers that tests can hold back, and a bare client."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import uvloop

from accounts.packets.codec import Packet, encode_failure, encode_success
from accounts.packets.connection import PacketConnection
from accounts.packets.door import Answers, Door
from accounts.packets.known_lines import KnownLine
from accounts.packets.limits import Limits

TIMEOUT_S = 20.0


class Line:
    """A socket that sends bytes and reads lines."""

    def __init__(
        self, port: int, *, receive_bytes: int | None = None, source: str = "127.0.0.1"
    ) -> None:
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(TIMEOUT_S)
        try:
            self.socket.bind((source, 0))
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self) -> dict[str, Any]:
        """The next answer. AssertionError when the connection ended instead."""
        line = self._file.readline()
        assert line.endswith(b"\n"), f"no whole line came: {line!r}"
        answer: dict[str, Any] = json.loads(line)
        assert list(answer) == ["Success", "User", "Err"]
        return answer

    def ask(self, format_: str, **user: str) -> dict[str, Any]:
        self.send(packet(format_, **user))
        return self.read()

    def ended(self) -> bool:
        """Whether the server has closed: nothing but its end can be read."""
        return self._file.read() == b""

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def packet(format_: str, **user: str) -> bytes:
    return json.dumps({"Format": format_, "User": user}).encode() + b"\n"


class Server:
    """One process's worth of serving, on a thread. Memory knows the tokens `known-…`, and says of
    them who asks. Everything else goes to the stores, which wait for `open(name)` when the name or
    token begins with `slow`; a LOGOUT of `known-…` makes memory forget it.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._gates: dict[str, threading.Event] = {}
        self._forgotten: set[str | None] = set()
        self._ready: Future[int] = Future()
        self._loop: Any = None
        self._leave = asyncio.Event()
        self.entered: list[str] = []
        self.clients: list[str] = []
        self.door: Door
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        answers = Answers(self._from_memory, self._from_stores)
        self.door = Door(self._loop, answers, self._limits)
        server = await self._loop.create_server(lambda: PacketConnection(self.door), "127.0.0.1", 0)
        self._ready.set_result(server.sockets[0].getsockname()[1])
        await self._leave.wait()
        server.close()
        self.door.stop()
        await asyncio.sleep(0)

    def _from_memory(self, asked: Packet, client: str) -> KnownLine | None:
        token = asked.user.token
        if asked.format != "VALIDATE" or token in self._forgotten or token is None:
            return None
        if not token.startswith("known-"):
            return None
        answer = encode_success(username=token.removeprefix("known-"), nickname="", url="")
        return KnownLine("VALIDATE", answer, lambda: token not in self._forgotten)

    def _from_stores(self, asked: Packet, client: str) -> bytes:
        name = asked.user.username or asked.user.token or ""
        self.clients.append(client)
        self.entered.append(name)
        if name.startswith("slow"):
            assert self._gates.setdefault(name, threading.Event()).wait(TIMEOUT_S)
        if asked.user.password == "wrong":
            return encode_failure("User.Username or User.Password: is wrong")
        if asked.format == "LOGOUT":
            self._forgotten.add(asked.user.token)
        if asked.format == "VALIDATE" and not name.startswith("slow"):
            return encode_failure("User.Token: is no session")
        return encode_success(username=name, nickname="", url="")

    def open(self, name: str) -> None:
        """Let the stores answer for this name."""
        self._gates.setdefault(name, threading.Event()).set()

    def on_loop(self, call: Callable[[], Any]) -> Any:
        """What `call` gives on the event loop."""
        done: Future[Any] = Future()
        self._loop.call_soon_threadsafe(lambda: done.set_result(call()))
        return done.result(TIMEOUT_S)

    def sweep(self, seconds: int) -> None:
        """As if so many seconds had passed."""
        for _ in range(seconds):
            self.on_loop(self.door._sweep)

    @property
    def port(self) -> int:
        return self._ready.result(TIMEOUT_S)

    def connect(self, **options: Any) -> Line:
        return Line(self.port, **options)

    def __enter__(self) -> Self:
        self._thread.start()
        _ = self.port
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for gate in self._gates.values():
            gate.set()
        self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(TIMEOUT_S)
