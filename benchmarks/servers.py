"""Servers under measurement: started on free ports, timed by their own CPU seconds, stopped."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0
ROOT = Path(__file__).parent.parent
PYTHON = sys.executable
GUNICORN = str(Path(PYTHON).with_name("gunicorn"))
WORKERS = 2


class Server:
    """One server with all its processes, in a session of its own; a context manager."""

    def __init__(
        self, name: str, command: list[str], *, port: int, environment: Mapping[str, str] = {}
    ) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self._command = command
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; `wait` says when it listens."""
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait(self) -> None:
        """Wait until it takes connections; RuntimeError when it ends instead."""
        give_up_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < give_up_s:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"{self.name} ended: {' '.join(self._command)}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"{self.name} does not listen")

    def processes(self) -> list[psutil.Process]:
        """The server and its descendants, the server first."""
        if self._process is None:
            return []
        server = psutil.Process(self._process.pid)
        return [server, *server.children(recursive=True)]

    def cpu_s(self) -> float:
        """CPU seconds that its living processes have used."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())

    def worker_rss_bytes(self) -> int:
        """Memory of its largest process."""
        return max(process.memory_info().rss for process in self.processes())

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to what is left of its session."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        self.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
