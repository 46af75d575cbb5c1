"""Real gunicorn pools of the small application, on a free port, with clients that keep asking."""

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

from devstack.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 30.0


def wait_until(condition, what: str) -> None:
    give_up_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < give_up_s, f"in vain: {what}"
        time.sleep(0.02)


class Pool:
    """gunicorn with one of our settings files, another application and two workers."""

    def __init__(self, directory: Path, kind: str) -> None:
        self.port = free_port()
        self.log = directory / "gunicorn.log"
        self.run_dir = directory / "run"
        self.run_dir.mkdir(exist_ok=True)
        self.gate = self.run_dir / "gate"
        self.gate.touch()
        variable = "PORT" if kind == "api" else "EDGE_PORT"
        application = f"tests.fastpath.{'asgi' if kind == 'api' else 'edge'}:application"
        environment = {
            **os.environ,
            variable: str(self.port),
            "RUN_DIR": str(self.run_dir),
            "WEB_CONCURRENCY": "2",
            # Also how long gunicorn hears of nothing else while it replaces workers.
            "GRACEFUL_TIMEOUT_S": "4",
        }
        settings = ROOT / "tests" / "fastpath" / f"gunicorn_{kind}.py"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", str(settings), application],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: len(self.serving()) >= 2, "two workers that serve")

    def serving(self) -> set[int]:
        """The pids of the living workers that have said that they serve."""
        return self._living("serving-")

    def at_gate(self) -> set[int]:
        """The pids of the living workers that wait for the gate, or have passed it."""
        return self._living("at-gate-")

    def _living(self, prefix: str) -> set[int]:
        pids = {int(mark.name.removeprefix(prefix)) for mark in self.run_dir.glob(f"{prefix}*")}
        return {pid for pid in pids if psutil.pid_exists(pid)}

    def hang_up(self) -> None:
        """Replace all workers, and wait until the old ones are gone."""
        old = self.serving()
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not old & self.serving(), "the old workers' end")
        wait_until(lambda: len(self.serving()) == 2, "two new workers")

    def get(self, target: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        connection.request(method, target, headers=headers)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        wait_until(lambda: not self.serving(), "the workers' end")


class Load:
    """Clients that keep their connections and ask again at once, as a proxy does.

    A client that is told `connection: close` connects again. A connection that ends before its
    answer is a failure, and so is every status other than 200.
    """

    def __init__(self, port: int, targets: list[str], clients: int = 8) -> None:
        self.port = port
        self.targets = targets
        self.answered = 0
        self.failures: list[str] = []
        self.refused = False
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        connection = None
        number = 0
        while not self._stopping.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                    connection.connect()
            except ConnectionError:
                self.refused = True
                return
            target = self.targets[number % len(self.targets)]
            number += 1
            try:
                if target.startswith("/save"):
                    connection.request("POST", target, body=b"x")
                else:
                    connection.request("GET", target)
                response = connection.getresponse()
                response.read()
                with self._lock:
                    self.answered += 1
                if response.status != 200:
                    self.failures.append(f"{target}: {response.status}")
                if response.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{target}: {error!r}")
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def more(self, count: int) -> None:
        """Wait for so many more answers."""
        enough = self.answered + count
        wait_until(lambda: self.answered >= enough or self.refused, f"{count} answers")

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()
