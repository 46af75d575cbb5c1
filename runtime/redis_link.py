"""One pipelined connection to Redis for an event loop, kept open and found again by itself.

redis-py's own asyncio client costs more per command than a batch of writes costs Redis. This is a
protocol around hiredis: packed bytes out, replies to callbacks in order, nothing in between.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from logging import getLogger
from typing import Any

import hiredis
import redis

from runtime.redis_where import Address, Place, read_place

log = getLogger(__name__)

pack: Callable[[tuple[str | bytes | int | float, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]
ReplyError = hiredis.ReplyError
# Gets the reply, a ReplyError, or a LinkLostError.
Callback = Callable[[Any], None]

_CONNECT_TIMEOUT_S = 1.0
_PAUSE_FIRST_S, _PAUSE_MOST_S = 0.02, 0.5
_WATCH_S = 0.25


class LinkError(Exception):
    """Redis cannot be asked."""


class NotConnectedError(LinkError):
    """There is no connection: nothing was sent."""


class LinkLostError(LinkError):
    """The connection ended before the reply: Redis may have done it or not."""


class _Connection(asyncio.Protocol):
    """One connection, while it lasts."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        # Called when it ends, before anybody who waits on it hears of that.
        self.on_lost: Callable[[], None] = lambda: None
        self.transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[Callback, float]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def send(self, packed: bytes, callback: Callback) -> None:
        assert self.transport is not None
        self._waiting.append((callback, time.monotonic()))
        self.transport.write(packed)

    async def ask(self, *words: str | bytes | int | float) -> Any:
        """Send a command and give its reply. ReplyError, LinkLostError."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def resolve(reply: Any) -> None:
            if not future.done():
                future.set_result(reply)

        self.send(pack(words), resolve)
        reply = await future
        if isinstance(reply, Exception):
            raise reply
        return reply

    def data_received(self, data: bytes) -> None:
        reader, waiting = self._reader, self._waiting
        reader.feed(data)
        while True:
            try:
                if (reply := reader.gets()) is False:
                    return
                callback, _ = waiting.popleft()
            except (hiredis.ProtocolError, IndexError):
                self.abort()  # Not what was asked: whatever speaks there is not to be believed.
                return
            _tell(callback, reply)

    @property
    def closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self.transport is None or self.transport.is_closing()

    def silent_s(self) -> float:
        """How long the oldest command has been waiting for its reply."""
        return time.monotonic() - self._waiting[0][1] if self._waiting else 0.0

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        self.on_lost()
        waiting, self._waiting = self._waiting, deque()
        for callback, _ in waiting:
            _tell(callback, LinkLostError(str(exc or "closed by Redis")))


def _tell(callback: Callback, reply: Any) -> None:
    try:
        callback(reply)
    except Exception:
        # One caller's mistake is not the others', who also wait for their replies.
        log.exception("an answer of Redis could not be used")


class RedisLink:
    """A connection to the server that takes writes for `key`, made again whenever it is lost.

    `start` it on the loop that uses it. Everything else is for that loop only.
    """

    def __init__(self, url: str, key: str, *, answer_timeout_s: float = 2.0) -> None:
        self._place = read_place(url)
        self._key = key
        self._answer_timeout_s = answer_timeout_s
        self._connection: _Connection | None = None
        self._connected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        # Why there is no connection, for people.
        self.failure = "not started"

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to connect."""
        self._task = loop.create_task(self._keep())

    @property
    def connected(self) -> bool:
        """Whether `call` can send now."""
        return self._connection is not None

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait for a connection; False when there is none after `timeout_s`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._connected.wait(), timeout_s)
        return self.connected

    def call(self, packed: bytes, callback: Callback) -> None:
        """Send a command as `pack` packed it; `callback` gets its reply, later, exactly once.

        NotConnectedError, and no callback, when there is no connection.
        """
        self._usable().send(packed, callback)

    async def command(self, *words: str | bytes | int | float) -> Any:
        """Send a command and give its reply. ReplyError, NotConnectedError, LinkLostError."""
        return await self._usable().ask(*words)

    def _usable(self) -> _Connection:
        """The connection, unless it is about to end: what is given to that one gets no reply."""
        connection = self._connection
        if connection is None or connection.closing:
            raise NotConnectedError(self.failure)
        return connection

    def drop(self) -> None:
        """Give this connection up, and look anew where the key lives."""
        connection = self._connection
        if connection is not None:
            self._forget(connection)
            connection.abort()

    async def stop(self) -> None:
        """Close the connection."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self.drop()

    async def _keep(self) -> None:
        pause_s = _PAUSE_FIRST_S
        while True:
            try:
                connection = await self._connect()
            except (OSError, redis.RedisError, LinkError, ReplyError, TimeoutError) as error:
                self.failure = str(error) or type(error).__name__
            except Exception as error:
                # A mistake, here or in a library: it must not end the only way to Redis.
                log.exception("cannot connect to redis")
                self.failure = str(error) or type(error).__name__
            else:
                pause_s = _PAUSE_FIRST_S
                await self._use(connection)
                continue
            await asyncio.sleep(pause_s)
            pause_s = min(_PAUSE_MOST_S, pause_s * 2)

    def _forget(self, connection: _Connection) -> None:
        if self._connection is connection:
            self._connection = None
            self._connected.clear()

    async def _use(self, connection: _Connection) -> None:
        if connection.gone.is_set():
            return
        connection.on_lost = partial(self._forget, connection)
        self._connection = connection
        self._connected.set()
        try:
            while not connection.gone.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(connection.gone.wait(), _WATCH_S)
                if connection.silent_s() > self._answer_timeout_s:
                    self.failure = f"no answer for {self._answer_timeout_s:.0f} s"
                    connection.abort()
        finally:
            self._forget(connection)
            connection.abort()

    async def _connect(self) -> _Connection:
        place = self._place
        if place.kind == "plain":
            address = place.nodes[0]
        else:
            address = await asyncio.to_thread(place.locate, self._key)
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            connection = await _open(place, address)
            try:
                await _greet(connection, place)
            except BaseException:
                connection.abort()
                raise
        return connection


async def _open(place: Place, address: Address) -> _Connection:
    loop = asyncio.get_running_loop()
    if address.path:
        _, protocol = await loop.create_unix_connection(_Connection, address.path)
    else:
        context = _tls(place) if place.tls else None
        _, protocol = await loop.create_connection(
            _Connection, address.host, address.port, ssl=context
        )
    return protocol


def _tls(place: Place) -> ssl.SSLContext:
    """The context that redis-py would make of the same options."""
    options = place.options
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    if str(options.get("ssl_cert_reqs", "required")) == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif str(options.get("ssl_check_hostname", "true")).lower() == "false":
        context.check_hostname = False
    if "ssl_certfile" in options:
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    return context


async def _greet(connection: _Connection, place: Place) -> None:
    """Log in and choose the database. ReplyError when Redis does not want us."""
    user, password = place.options.get("username"), place.options.get("password")
    if password:
        await connection.ask("AUTH", *([user] if user else []), password)
    await connection.ask("SELECT", place.options.get("db") or 0)
