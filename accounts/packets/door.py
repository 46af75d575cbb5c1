"""What the connections of one process share: who is here, what answers them, the sweep, leaving.

One sweep a second looks at every connection: a packet pays for no timer.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import NamedTuple

from accounts.packets.codec import Packet, PacketError, decode_packet, encode_failure
from accounts.packets.connection import PacketConnection
from accounts.packets.known_lines import KnownLine, KnownLines
from accounts.packets.limits import Limits
from accounts.packets.stats import BAD, Stats
from runtime.lanes import Lane

# Connections beyond the limit that may stay until they have read why they are refused.
_REFUSED_MOST = 1024
# How long a leaving process reads what was sent before its clients could know.
FAREWELL_S = 0.25
_AGAIN_S = 0.05
_BUSY = encode_failure("server: is busy, try again later")
_HASHING = frozenset(["REGISTER", "LOGIN"])


class Answers(NamedTuple):
    """What answers packets, given the packet and the client's address; neither ever raises.

    `from_memory` gives the line of an answer and for how long it is the answer to the same packet;
    None when memory does not know. It must not wait: it runs on the event loop. `from_stores` gives
    the line, and runs in a thread.
    """

    from_memory: Callable[[Packet, str], KnownLine | None]
    from_stores: Callable[[Packet, str], bytes]


class _Login(NamedTuple):
    username: str | None
    password: str | None
    client: str


class Door:
    """The connections of one process."""

    def __init__(self, loop: AbstractEventLoop, answers: Answers, limits: Limits) -> None:
        self.limits = limits
        self.stats = Stats()
        self.tick = 0
        self._loop = loop
        self._from_memory, self._from_stores = answers
        self._connections: set[PacketConnection] = set()
        self.known_lines = KnownLines()
        self._draining = False
        # Those that are being looked at, and who else waits for each: since when, which connection.
        self._logins: dict[_Login, list[tuple[float, PacketConnection]]] = {}
        lane = partial(
            Lane,
            loop,
            threads=limits.threads,
            patience_s=limits.patience_s,
            late=_BUSY,
        )
        self._hashing = lane(name="packets-hash", waiting=limits.waiting)
        self._looking_up = lane(name="packets-store", waiting=limits.connections)
        self._sweep_timer = loop.call_later(1.0, self._sweep)

    # -- connections ----------------------------------------------------------------------------

    def join(self, connection: PacketConnection) -> bool:
        """Take a new connection in; False when there are too many."""
        self._connections.add(connection)
        if len(self._connections) <= self.limits.connections:
            return True
        self.stats.refusals["connection"] += 1
        if len(self._connections) > self.limits.connections + _REFUSED_MOST:
            connection.abort()
        return False

    def leave(self, connection: PacketConnection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)

    def __len__(self) -> int:
        return len(self._connections)

    # -- packets --------------------------------------------------------------------------------

    def answer(self, line: bytes, connection: PacketConnection) -> bytes | None:
        """The answer to a line, or None when `connection.reply` will be called with it."""
        known = self.known_lines.find(line)
        if known is not None:
            self.stats.answers[known.format][1] += 1
            return known.answer
        try:
            packet = decode_packet(line)
        except PacketError as error:
            self.stats.answers[BAD][0] += 1
            return encode_failure(str(error))
        known = self._from_memory(packet, connection.client)
        if known is None:
            return self._wait(packet, connection)
        self.known_lines.remember(line, known)
        self.stats.answers[known.format][1] += 1
        return known.answer

    def _wait(self, packet: Packet, connection: PacketConnection) -> bytes | None:
        if packet.format == "LOGIN":
            return self._wait_together(packet, connection)
        return self._wait_alone(packet, connection)

    def _wait_alone(self, packet: Packet, connection: PacketConnection) -> bytes | None:
        return self._take(packet, connection, partial(self._end, packet, connection))

    def _take(
        self, packet: Packet, connection: PacketConnection, done: Callable[[float, bytes], None]
    ) -> bytes | None:
        lane = self._hashing if packet.format in _HASHING else self._looking_up
        job = partial(self._from_stores, packet, connection.client)
        if lane.take(job, partial(done, perf_counter())):
            return None
        self.stats.refusals["packet"] += 1
        return _BUSY

    def _end(
        self, packet: Packet, connection: PacketConnection, started_s: float, answer: bytes
    ) -> None:
        self.stats.answers[packet.format][_is_yes(answer)] += 1
        self.stats.waited(perf_counter() - started_s)
        connection.reply(answer)

    # Whoever sends the same name and password from the same address while they are looked at is
    # given the same yes. A no is nobody's but the first one's: every guess is counted.

    def _wait_together(self, packet: Packet, connection: PacketConnection) -> bytes | None:
        login = _login(packet, connection)
        if (others := self._logins.get(login)) is not None:
            others.append((perf_counter(), connection))
            return None
        refusal = self._take(packet, connection, partial(self._end_login, packet, connection))
        if refusal is None:
            self._logins[login] = []
        return refusal

    def _end_login(
        self, packet: Packet, connection: PacketConnection, started_s: float, answer: bytes
    ) -> None:
        others = self._logins.pop(_login(packet, connection))
        self._end(packet, connection, started_s, answer)
        for since_s, other in others:
            if _is_yes(answer):
                self._end(packet, other, since_s, answer)
            elif (refusal := self._wait_alone(packet, other)) is not None:
                other.reply(refusal)

    def soon(self, callback: Callable[[], None]) -> None:
        """Call back when others had their turn."""
        self._loop.call_soon(callback)

    # -- time -----------------------------------------------------------------------------------

    def _sweep(self) -> None:
        self.tick += 1
        for connection in list(self._connections):
            connection.check(self.tick)
        self.stats.publish(connections=len(self._connections))
        self._sweep_timer = self._loop.call_later(1.0, self._sweep)

    def drain(self, gone: Callable[[], None]) -> None:
        """Answer what has come, let every connection go, and call `gone` when the last one has."""
        if not self._draining:
            self._draining = True
            self._loop.call_later(FAREWELL_S, self._dismiss, gone)

    def _dismiss(self, gone: Callable[[], None]) -> None:
        for connection in list(self._connections):
            connection.dismiss()
        if self._connections:
            self._loop.call_later(_AGAIN_S, self._dismiss, gone)
        else:
            gone()

    def stop(self) -> None:
        """Cut what is left, and let the threads go."""
        self._sweep_timer.cancel()
        for connection in list(self._connections):
            connection.abort()
        self.stats.publish(connections=0)
        for lane in (self._hashing, self._looking_up):
            lane.stop()


def _login(packet: Packet, connection: PacketConnection) -> _Login:
    return _Login(packet.user.username, packet.user.password, connection.client)


def _is_yes(answer: bytes) -> bool:
    return answer.startswith(b'{"Success":true')
