"""A real PostgreSQL and Redis of a test's own, which it may pause, kill and start again."""

import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import psutil

from devstack.postgres import Postgres
from devstack.programs import Child
from devstack.redis import Redis

START_TIMEOUT_S = 60.0
STOP_GRACE_S = 10.0

Name = Literal["postgres", "redis"]


class Stores:
    """One PostgreSQL and one Redis on free loopback ports, below a directory of their own.

    `durable=False` leaves the disk out: for suites that only need a server, never for tests of
    what survives. Use as a context manager, or `start()` and `stop()`; what was paused or killed
    is stopped all the same. A server that cannot start raises, with the end of its log.
    """

    def __init__(self, *, durable: bool = True) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="adhouse-stores-"))
        logs = self.directory / "logs"
        self.postgres = Postgres(self.directory / "postgres", logs=logs, durable=durable)
        self.redis = Redis(self.directory / "redis", durable=durable)
        self._children: dict[Name, Child] = {}

    @property
    def database_url(self) -> str:
        """URL of the database; the same after every restart."""
        return self.postgres.url

    @property
    def redis_url(self) -> str:
        """URL of Redis database 0; the same after every restart."""
        return self.redis.url

    def start(self) -> None:
        """Start both servers, and wait until they answer."""
        try:
            self.postgres.prepare()
            self.redis.prepare()
            logs = self.directory / "logs"
            self._children = {
                "postgres": Child(self.postgres.program(), log_directory=logs),
                "redis": Child(self.redis.program(), log_directory=logs),
            }
            for child in self._children.values():
                child.start()
            for child in self._children.values():
                child.wait_ready(START_TIMEOUT_S)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop both servers and delete all they held."""
        for name in self._children:
            self.resume(name)
            self.stop_one(name)
        shutil.rmtree(self.directory, ignore_errors=True)

    def pid(self, name: Name) -> int:
        """Process id of a running server."""
        pid = self._children[name].pid
        assert pid is not None, f"{name} is not running"
        return pid

    def pause(self, name: Name) -> None:
        """SIGSTOP a server and all its processes: connections stay open, nothing answers."""
        self._signal(name, signal.SIGSTOP)

    def resume(self, name: Name) -> None:
        """Undo `pause`."""
        self._signal(name, signal.SIGCONT)

    def kill(self, name: Name) -> None:
        """`kill -9` a server, as a power cut would end it, and wait until it is gone."""
        family = self._family(name)
        self._children[name].kill()
        psutil.wait_procs(family, timeout=STOP_GRACE_S)

    def ending(self, name: Name) -> str | None:
        """How a server ended by itself, in words; None while it runs."""
        return self._children[name].ending()

    def stop_one(self, name: Name) -> None:
        """Stop one server in good order; `start_one` brings it back with its data."""
        self._children[name].stop(STOP_GRACE_S)

    def start_one(self, name: Name) -> None:
        """Start one stopped or killed server again on its old port, and wait until it answers."""
        self._children[name].start()
        self._children[name].wait_ready(START_TIMEOUT_S)

    def _signal(self, name: Name, number: signal.Signals) -> None:
        for process in self._family(name):
            # A session of PostgreSQL may end between the listing and this.
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _family(self, name: Name) -> list[psutil.Process]:
        """The server's processes, parent first: PostgreSQL gives each session one of its own."""
        pid = self._children[name].pid
        if pid is None:
            return []
        try:
            parent = psutil.Process(pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
