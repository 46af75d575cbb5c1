"""Hints over Redis pub/sub: "something newer exists". Losing one costs time, never truth."""

import os
import time
from collections.abc import Callable
from logging import getLogger
from threading import Lock, Thread

import redis
from redis.connection import ConnectionInterface

log = getLogger(__name__)

_CONNECT_TIMEOUT_S = 0.5
_SOCKET_TIMEOUT_S = 0.5
# After a failed publish nothing is tried for this long: a dead Redis must not slow every write.
_PAUSE_S = 1.0


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        socket_timeout=_SOCKET_TIMEOUT_S,
        retry_on_timeout=False,
        retry=None,
    )


class Publisher:
    """Sends hints on one channel. Never raises: the truth is already committed elsewhere.

    On one connection that it keeps: taking one from redis-py's pool and giving it back costs as
    much again as the hint, 60 µs.
    """

    def __init__(self, url: str, channel: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = _client(url).connection_pool
        self._channel = channel
        self._clock = clock
        self._paused_until_s = 0.0
        self._lock = Lock()
        self._connection: ConnectionInterface | None = None
        self._pid = 0

    def publish(self, message: str) -> bool:
        """Whether Redis took the hint."""
        # Who waits here for a Redis that does not answer need not try it afterwards.
        with self._lock:
            if self._clock() < self._paused_until_s:
                return False
            try:
                self._send(message)
            except (redis.RedisError, OSError):
                self._drop()
                self._paused_until_s = self._clock() + _PAUSE_S
                return False
        return True

    def _send(self, message: str) -> None:
        if self._connection is not None and self._pid == os.getpid():
            try:
                self._ask(self._connection, message)
            except redis.ConnectionError:
                # Redis was started anew since the last hint.
                self._drop()
            else:
                return
        self._connection, self._pid = self._pool.make_connection(), os.getpid()
        self._ask(self._connection, message)

    def _ask(self, connection: ConnectionInterface, message: str) -> None:
        connection.send_command("PUBLISH", self._channel, message)  # type: ignore[no-untyped-call]
        connection.read_response()

    def _drop(self) -> None:
        """Close the connection: an answer that is still to come must not be taken for the next."""
        if self._connection is not None:
            self._connection.disconnect()  # type: ignore[no-untyped-call]
            self._connection = None

    def stop(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()


class PacedPublisher:
    """Sends hints of which the newest says all: the first at once, and of those that come within
    `pace_s` of one that was sent only the last, at the end of that time. A stream of hints costs
    sender, Redis and every subscriber as much again as what they are about.

    A process that ends in good order sends what is left first.
    """

    def __init__(
        self,
        publish: Callable[[str], object],
        *,
        pace_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._publish = publish
        self._pace_s = pace_s
        self._clock = clock
        self._sleep = sleep
        self._begin()

    def _begin(self) -> None:
        self._lock = Lock()
        self._pid = os.getpid()
        self._next_s = 0.0
        self._newest: str | None = None
        self._trailing = False

    def publish(self, message: str) -> None:
        """Send it now or a little later. Never raises, and never waits but for Redis."""
        if self._pid != os.getpid():
            # A forked process has none of our threads.
            self._begin()
        with self._lock:
            if (now_s := self._clock()) < self._next_s or self._trailing:
                self._newest = message
                if self._trailing or self._trail():
                    return
                self._newest = None
            self._next_s = now_s + self._pace_s
        self._publish(message)

    def _trail(self) -> bool:
        """Begin a thread for what is left; False when there can be none, since Python is ending."""
        try:
            Thread(target=self._follow, name="hints").start()
        except RuntimeError:
            return False
        self._trailing = True
        return True

    def _follow(self) -> None:
        while True:
            self._sleep(max(0.0, self._next_s - self._clock()))
            with self._lock:
                message, self._newest = self._newest, None
                if message is None:
                    self._trailing = False
                    return
                self._next_s = self._clock() + self._pace_s
            try:
                self._publish(message)
            except Exception:
                # The thread stays: without it all that follow would be lost.
                log.exception("a hint could not be sent")


class Subscriber:
    """Waits for hints on one channel; connects, and connects again, by itself."""

    def __init__(
        self, url: str, channel: str, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._client = _client(url)
        self._channel = channel
        self._sleep = sleep
        self._pubsub: redis.client.PubSub | None = None

    @property
    def connected(self) -> bool:
        """Whether hints can arrive."""
        return self._pubsub is not None

    def wait(self, timeout_s: float) -> bool:
        """Wait for a hint, at most `timeout_s`. True when it is worth looking: one came, or the
        subscription is new and may have missed some. With Redis away it sleeps and gives False.
        """
        try:
            if self._pubsub is None:
                self._subscribe()
                return True
            message = self._pubsub.get_message(ignore_subscribe_messages=True, timeout=timeout_s)
            while message is not None and self._pubsub.get_message(timeout=0) is not None:
                pass  # One look serves every hint that is already here.
        except (redis.RedisError, OSError, ValueError):
            # ValueError: a connection that broke while it was being set up.
            self._drop()
            self._sleep(timeout_s)
            return False
        return message is not None

    def _subscribe(self) -> None:
        pubsub = self._client.pubsub()  # type: ignore[no-untyped-call]
        try:
            pubsub.subscribe(self._channel)
            pubsub.get_message(timeout=_SOCKET_TIMEOUT_S)
        except (redis.RedisError, OSError, ValueError):
            pubsub.close()
            raise
        self._pubsub = pubsub

    def _drop(self) -> None:
        if self._pubsub is not None:
            self._pubsub.close()
            self._pubsub = None

    def stop(self) -> None:
        """Close the connections."""
        self._drop()
        self._client.close()
