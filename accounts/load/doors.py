"""The two doors that load comes through: packets over TCP, and HTTP."""

import http.client
import json
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from accounts.packets.client import ClientError, PacketClient

Observe = Callable[[str, float], None]


class LoadError(Exception):
    """A question that was not answered with yes; the message says how."""


class Door(Protocol):
    """What can be asked. Both raise LoadError unless the answer is yes; usable from any thread."""

    def login(self, *, username: str, password: str) -> str:
        """A session's token."""

    def validate(self, *, token: str) -> None:
        """The session is checked."""

    def close(self) -> None:
        """Close every connection."""


class PacketsDoor:
    """LOGIN and VALIDATE over a pool of `size` connections."""

    def __init__(self, host: str, port: int, *, size: int, observe: Observe) -> None:
        self._client = PacketClient(
            host, port, size=size, wait_s=30.0, timeout_s=30.0, observe=observe
        )

    def login(self, *, username: str, password: str) -> str:
        """LOGIN."""
        try:
            answer = self._client.login(username=username, password=password)
        except ClientError as error:
            raise LoadError(str(error)) from error
        if not answer.success or not isinstance(answer.user.token, str):
            raise LoadError(answer.err)
        return answer.user.token

    def validate(self, *, token: str) -> None:
        """VALIDATE."""
        try:
            answer = self._client.validate(token=token)
        except ClientError as error:
            raise LoadError(str(error)) from error
        if not answer.success:
            raise LoadError(answer.err)

    def close(self) -> None:
        """Close the pool."""
        self._client.close()


class HttpDoor:
    """`POST /api/v1/users/login` and `GET /api/v1/users/me`, one connection a thread."""

    def __init__(self, host: str, port: int, *, observe: Observe) -> None:
        self._address = (host, port)
        self._observe = observe
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[http.client.HTTPConnection] = []

    def login(self, *, username: str, password: str) -> str:
        """A new session."""
        body = json.dumps({"username": username, "password": password})
        headers = {"Content-Type": "application/json"}
        token: str = self._ask("POST", "/api/v1/users/login", body, headers)["token"]
        return token

    def validate(self, *, token: str) -> None:
        """Who this is."""
        self._ask("GET", "/api/v1/users/me", None, {"Authorization": f"Bearer {token}"})

    def close(self) -> None:
        """Close the connections of all threads."""
        for connection in self._connections:
            connection.close()

    def _ask(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> dict[str, Any]:
        started_s = time.perf_counter()
        connection = self._connection()
        connected_s = time.perf_counter()
        self._observe("get connection", connected_s - started_s)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise LoadError(f"{method} {path}: {error!r}") from error
        self._observe("round trip", time.perf_counter() - connected_s)
        if answer.status != http.client.OK:
            raise LoadError(f"{method} {path}: {answer.status} {text[:200].decode('latin-1')}")
        said: dict[str, Any] = json.loads(text)
        return said

    def _connection(self) -> http.client.HTTPConnection:
        """This thread's connection; `http.client` opens it anew when it was closed."""
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(*self._address, timeout=30.0)
            self._local.connection = connection
            with self._lock:
                self._connections.append(connection)
        return connection
