"""Messages over Redis pub/sub, each of which counts: who listens knows whether it hears.

Redis does not keep what nobody hears, and a connection to a server that stands still looks like one
on which nothing is said. So the listener pings; one that has heard no answer for `SILENCE_S` takes
itself for deaf.
"""

import time
from collections.abc import Callable

import redis

_CONNECT_TIMEOUT_S = 0.5
PING_S = 0.5
SILENCE_S = 2.0


class Listener:
    """One subscription, which is renewed by itself. For one thread."""

    def __init__(
        self, url: str, channel: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = redis.Redis.from_url(
            url,
            socket_connect_timeout=_CONNECT_TIMEOUT_S,
            socket_timeout=_CONNECT_TIMEOUT_S,
            retry=None,
        )
        self._channel = channel
        self._clock = clock
        self._pubsub: redis.client.PubSub | None = None
        self._heard_s = 0.0
        self._pinged_s = 0.0

    @property
    def hears(self) -> bool:
        """Whether every message since `hear` first gave a list has been given."""
        return self._pubsub is not None

    def hear(self, timeout_s: float) -> list[str] | None:
        """The messages that came, after waiting for one `timeout_s` at most. None when there is no
        subscription, or it has just been lost; messages may then have been lost too. The first
        list after that, empty, means that it is there again.
        """
        try:
            if self._pubsub is None:
                self._subscribe()
                return []
            return self._listen(self._pubsub, timeout_s)
        except (redis.RedisError, OSError, ValueError):
            # ValueError: a connection that broke while it was being set up.
            self._drop()
            return None

    def _subscribe(self) -> None:
        pubsub = self._client.pubsub()  # type: ignore[no-untyped-call]
        try:
            pubsub.subscribe(self._channel)
            # Until Redis confirms, nothing is heard.
            confirmation = pubsub.get_message(timeout=_CONNECT_TIMEOUT_S)
            if confirmation is None or confirmation["type"] != "subscribe":
                raise redis.TimeoutError("the subscription was not confirmed")
        except (redis.RedisError, OSError, ValueError):
            pubsub.close()
            raise
        self._pubsub = pubsub
        self._heard_s = self._pinged_s = self._clock()

    def _listen(self, pubsub: redis.client.PubSub, timeout_s: float) -> list[str]:
        began_s = self._clock()
        if began_s - self._pinged_s >= PING_S:
            self._pinged_s = began_s
            pubsub.ping()
        messages = []
        message = pubsub.get_message(timeout=min(timeout_s, PING_S))
        while message is not None:
            self._heard_s = self._clock()
            if message["type"] == "message":
                messages.append(message["data"].decode(errors="replace"))
            message = pubsub.get_message(timeout=0)
        # After reading: a thread that had no turn for long finds the answers waiting.
        if self._clock() - self._heard_s > SILENCE_S:
            raise redis.TimeoutError("Redis is silent")
        return messages

    def _drop(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            pubsub.close()

    def stop(self) -> None:
        """Close the connections."""
        self._drop()
        self._client.close()
