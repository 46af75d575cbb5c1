"""The complete running product in a directory of its own: what `make run` runs."""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from devstack.ports import free_port
from devstack.programs import LAUNCHER, ROOT

READY_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0
_POLL_S = 0.02
# Variables of the suite, or of the engineer's shell, that would lead the stack elsewhere.
_NOT_INHERITED = (
    "DATABASE_URL",
    "REDIS_URL",
    "CACHE_REDIS_URL",
    "RUN_DIR",
    "DJANGO_SETTINGS_MODULE",
    "SECRET_KEY",
    "BIND_HOST",
)


def wait_until(condition: Callable[[], Any], *, timeout_s: float, what: str) -> Any:
    """Poll until `condition()` is true, and give its value; AssertionError after `timeout_s`."""
    give_up_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < give_up_s, f"after {timeout_s:.0f} s still not: {what}"
        time.sleep(_POLL_S)
    return value


def alive(pid: int | None) -> bool:
    """Whether a process runs; a zombie, which only its parent can clear away, does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Stack:
    """The product on free ports. A context manager: inside, every endpoint answers.

    `environment` adds variables, for example WEB_CONCURRENCY; `command` is what starts it, for
    example `make run`. Its data outlives `restart()` and `kill()`, and is deleted when the context
    is left.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        command: Sequence[str] = (sys.executable, "-m", "devstack", "run"),
    ) -> None:
        self.data_directory = Path(tempfile.mkdtemp(prefix="adhouse-stack-"))
        self.port = free_port()
        self.edge_port = free_port()
        self.packets_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.edge_url = f"http://127.0.0.1:{self.edge_port}"
        self.output: list[str] = []
        self._extra = dict(environment or {})
        self._command = list(command)
        self._process: subprocess.Popen[str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a command beside this stack needs to find it: `manage.py` in a subprocess."""
        inherited = {name: os.environ[name] for name in os.environ if name not in _NOT_INHERITED}
        return {
            **inherited,
            "PORT": str(self.port),
            "EDGE_PORT": str(self.edge_port),
            "PACKETS_PORT": str(self.packets_port),
            "DATA_DIR": str(self.data_directory),
            "WEB_CONCURRENCY": "2",
            **self._extra,
        }

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        assert self._process is not None, "the stack is not running"
        return self._process.pid

    @property
    def state(self) -> dict[str, Any]:
        """`stack.json` as it is now."""
        state: dict[str, Any] = json.loads((self.data_directory / "stack.json").read_text())
        return state

    @property
    def pids(self) -> dict[str, int]:
        """Masters by name: postgres, redis, api, edge, packets, worker, beat."""
        processes: dict[str, int] = self.state["processes"]
        return processes

    @property
    def operator(self) -> dict[str, str]:
        """`username`, `password` and `token` of the first operator."""
        operator: dict[str, str] = json.loads((self.data_directory / "operator.json").read_text())
        return operator

    def start(self) -> None:
        """Start, and wait for the line `ready`. AssertionError with all output if none comes."""
        self.output = []
        # Its life hangs on ours: a suite that is killed leaves no stack behind.
        tied = [
            sys.executable,
            "-I",
            "-S",
            str(LAUNCHER),
            str(os.getpid()),
            str(signal.SIGTERM.value),
        ]
        self._process = subprocess.Popen(
            [*tied, "-", *self._command],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(self._process, lines), daemon=True).start()
        give_up_s = time.monotonic() + READY_TIMEOUT_S
        while True:
            try:
                line = lines.get(timeout=max(0.0, give_up_s - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                self.stop()
                raise AssertionError("the stack is not ready:\n" + "".join(self.output))
            if line.startswith("ready "):
                return

    def stop(self, signal_number: signal.Signals = signal.SIGTERM) -> int:
        """Ask the stack to stop, and wait until it has; gives its exit code."""
        assert self._process is not None, "the stack is not running"
        self._process.send_signal(signal_number)
        code = self._process.wait(STOP_TIMEOUT_S)
        self._process = None
        return code

    def restart(self) -> None:
        """Stop in good order and start again on the same data."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """`kill -9` the supervisor only; its processes end by themselves."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def processes(self) -> list[psutil.Process]:
        """Every running process of this stack: it has our directory in command or environment."""
        mark = str(self.data_directory)
        found = []
        for process in psutil.process_iter():
            try:
                words = [*process.cmdline(), process.environ().get("DATA_DIR", "")]
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if alive(process.pid) and any(mark in word for word in words):
                found.append(process)
        return found

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `manage.py` beside the stack, which it finds by DATA_DIR alone."""
        return subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def _read(self, process: subprocess.Popen[str], lines: "queue.SimpleQueue[str | None]") -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.output.append(line)
                lines.put(line)
        lines.put(None)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self.data_directory, ignore_errors=True)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._process is not None:
                self.stop()
        finally:
            self.kill()
            shutil.rmtree(self.data_directory, ignore_errors=True)
