"""A client of the packets: a pool of connections that any number of threads may share. Pure.

A connection is given back only after exactly one whole answer was read from it. After anything
else, a timeout above all, it is closed: what might still arrive on it is somebody's answer.
"""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from accounts.packets.codec import (
    Packet,
    PacketAnswer,
    PacketError,
    PacketUser,
    decode_answer,
    encode_packet,
)
from runtime.errors import BusyError

_RECEIVE_BYTES = 65_536
# A stage of a question (`get connection`, `round trip`) and its seconds.
Observe = Callable[[str, float], None]


class ClientError(Exception):
    """A question that got no answer; whether it was carried out is not known."""


class AnswerTimeoutError(ClientError):
    """The answer did not come in time."""


class DisconnectedError(ClientError):
    """The server cannot be reached, or closed the connection before it answered."""


def _ignore(_stage: str, _duration_s: float) -> None:
    return None


class _Connection:
    """One connection, used by one thread at a time."""

    def __init__(self, address: tuple[str, int], timeout_s: float) -> None:
        try:
            self._socket = socket.create_connection(address, timeout=timeout_s)
        except OSError as error:
            raise DisconnectedError(f"{address[0]}:{address[1]}: {error}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._timeout_s = timeout_s

    def healthy(self) -> bool:
        """Whether it is open and silent, as an idle one must be."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | select.POLLHUP | select.POLLERR)
        return not poll.poll(0)

    def ask(self, line: bytes) -> bytes:
        """The line that answers; ClientError, after which the connection is to be closed."""
        give_up_s = time.monotonic() + self._timeout_s
        answer = b""
        try:
            self._socket.settimeout(self._timeout_s)
            self._socket.sendall(line)
            while not answer.endswith(b"\n"):
                # A timeout of zero would mean not to wait at all, and is another error.
                self._socket.settimeout(max(give_up_s - time.monotonic(), 0.000_001))
                piece = self._socket.recv(_RECEIVE_BYTES)
                if not piece:
                    raise DisconnectedError("the server closed the connection")
                answer += piece
        except TimeoutError as error:
            raise AnswerTimeoutError(f"no answer within {self._timeout_s} s") from error
        except OSError as error:
            raise DisconnectedError(f"the connection broke: {error}") from error
        if answer.count(b"\n") != 1:
            raise ClientError("the server said more than it was asked")
        return answer

    def close(self) -> None:
        self._socket.close()


class PacketClient:
    """At most `size` connections to one server. A thread that finds all taken waits `wait_s`, then
    gets BusyError; an answer may take `timeout_s`. A connection that was idle is looked at before
    it is used again, and one older than `age_s` is replaced. A context manager, or `close` it.

    `observe` is told the seconds of each stage: `get connection` and `round trip`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        size: int = 8,
        wait_s: float = 1.0,
        timeout_s: float = 2.0,
        age_s: float = 600.0,
        observe: Observe = _ignore,
    ) -> None:
        self._address = (host, port)
        self._wait_s = wait_s
        self._timeout_s = timeout_s
        self._age_s = age_s
        self._observe = observe
        self._free = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        # The one used last comes first: those that nobody needs grow old and go.
        self._idle: list[tuple[_Connection, float]] = []
        self._closed = False

    def register(self, *, username: str, password: str, nickname: str = "") -> PacketAnswer:
        """Make a user."""
        user = PacketUser(username=username, password=password, nickname=nickname)
        return self.ask(Packet("REGISTER", user))

    def login(self, *, username: str, password: str) -> PacketAnswer:
        """Open a session; its token is in the answer's user."""
        return self.ask(Packet("LOGIN", PacketUser(username=username, password=password)))

    def validate(self, *, token: str) -> PacketAnswer:
        """Whose session this is."""
        return self.ask(Packet("VALIDATE", PacketUser(token=token)))

    def update_nickname(self, *, token: str, nickname: str) -> PacketAnswer:
        """Change the nickname of the session's user."""
        return self.ask(Packet("UPDATE_NICKNAME", PacketUser(token=token, nickname=nickname)))

    def update_image(self, *, token: str, url: str) -> PacketAnswer:
        """Change the picture of the session's user to one that was uploaded; empty for none."""
        return self.ask(Packet("UPDATE_IMAGE", PacketUser(token=token, url=url)))

    def logout(self, *, token: str) -> PacketAnswer:
        """End the session."""
        return self.ask(Packet("LOGOUT", PacketUser(token=token)))

    def ask(self, packet: Packet) -> PacketAnswer:
        """The server's answer, yes or no. BusyError when no connection is free in time; ClientError
        when no answer came. Nothing is asked twice.
        """
        line = encode_packet(packet)
        started_s = time.perf_counter()
        with self._connection() as connection:
            connected_s = time.perf_counter()
            self._observe("get connection", connected_s - started_s)
            text = connection.ask(line)
            self._observe("round trip", time.perf_counter() - connected_s)
            try:
                return decode_answer(text)
            except PacketError as error:
                raise ClientError(str(error)) from error

    @contextmanager
    def _connection(self) -> Iterator[_Connection]:
        """A connection of one's own; it is kept only if nothing goes wrong."""
        if not self._free.acquire(timeout=self._wait_s):
            raise BusyError(f"no connection became free within {self._wait_s} s")
        try:
            connection, made_at_s = self._take()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._give_back(connection, made_at_s)
        finally:
            self._free.release()

    def _take(self) -> tuple[_Connection, float]:
        while True:
            with self._lock:
                if self._closed:
                    raise ClientError("the client is closed")
                if not self._idle:
                    break
                connection, made_at_s = self._idle.pop()
            if time.monotonic() - made_at_s < self._age_s and connection.healthy():
                return connection, made_at_s
            connection.close()
        return _Connection(self._address, self._timeout_s), time.monotonic()

    def _give_back(self, connection: _Connection, made_at_s: float) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append((connection, made_at_s))
                return
        connection.close()

    def close(self) -> None:
        """Close every connection: idle ones now, others when they are given back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection, _made_at_s in idle:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
