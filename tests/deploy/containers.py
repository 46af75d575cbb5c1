"""Runs a service of docker-compose.yml as a process of this machine.

Its command, its variables and its health check are the file's; only what a container would have
of its own is given: where the stores are, ports that are free here, a directory to write to.
"""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devstack.ports import free_port
from devstack.programs import Child, Program
from tests.deploy import compose, image
from tests.support.stores import Stores

READY_TIMEOUT_S = 120.0
CHECK_TIMEOUT_S = 20.0
RUN_DIR = "/run/adhouse"


class Deployment:
    """Services of docker-compose.yml over the image's `tree` and running `stores`."""

    def __init__(self, *, tree: Path, stores: Stores, directory: Path) -> None:
        self.directory = directory
        self.ports = {"api": free_port(), "edge": free_port(), "packets": free_port()}
        self.watch_ports = {"packets": free_port(), "writer": free_port()}
        self._tree = tree
        self._stores = stores
        self._services: dict[str, dict[str, Any]] = compose.load()["services"]

    def environment(self, name: str) -> dict[str, str]:
        """What a process of service `name` sees."""
        run_dir = self.directory / name
        run_dir.mkdir(parents=True, exist_ok=True)
        return image.process_environment(
            self._services[name]["environment"]
            | {
                "DATABASE_URL": self._stores.database_url,
                "REDIS_URL": self._stores.redis_url,
                "BIND_HOST": "127.0.0.1",
                "PORT": str(self.ports["api"]),
                "EDGE_PORT": str(self.ports["edge"]),
                "PACKETS_PORT": str(self.ports["packets"]),
                "PACKETS_WATCH_PORT": str(self.watch_ports["packets"]),
                "TIMESERIES_WATCH_PORT": str(self.watch_ports["writer"]),
                "WEB_CONCURRENCY": "1",
                "RUN_DIR": str(run_dir),
                "HOSTNAME": socket.gethostname(),
            }
        )

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run the command of a one-shot service to its end."""
        return self._execute(name, self._services[name]["command"], timeout_s=READY_TIMEOUT_S)

    def manage(self, *arguments: str) -> str:
        """What `manage.py ARGUMENTS` prints in a container of the api. It must succeed."""
        command = ["python", "manage.py", *arguments]
        result = self._execute("api", command, timeout_s=READY_TIMEOUT_S)
        assert result.returncode == 0, result.stderr
        return result.stdout

    @contextmanager
    def running(self, name: str) -> Iterator[Child]:
        """The process of service `name`, once its health check succeeds; killed at the end."""
        run_dir = str(self.directory / name)
        command = [word.replace(RUN_DIR, run_dir) for word in self._services[name]["command"]]
        program = Program(
            name=name,
            command=["env", "--chdir", str(self._tree), *command],
            environment=self.environment(name),
            refusal=lambda: self.refusal(name),
        )
        child = Child(program, log_directory=self.directory / "logs")
        child.start()
        try:
            child.wait_ready(READY_TIMEOUT_S)
            yield child
        finally:
            child.kill()

    def refusal(self, name: str) -> str | None:
        """What the health check of service `name` complains of, or None."""
        kind, *check = self._services[name]["healthcheck"]["test"]
        command = ["sh", "-c", *check] if kind == "CMD-SHELL" else check
        try:
            result = self._execute(name, command, timeout_s=CHECK_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            return str(error)
        return None if result.returncode == 0 else result.stdout + result.stderr

    def _execute(
        self, name: str, command: list[str], *, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self._tree,
            env=self.environment(name),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
