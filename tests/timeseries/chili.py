"""chili, an open engine that speaks kdb+'s protocol, as a server for tests."""

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from devstack.ports import free_port
from devstack.programs import ROOT, Child, Program
from timeseries.records import StoreAwayError
from timeseries.stores.kdb_link import KdbAddress, KdbLink, init

START_TIMEOUT_S = 20.0


class Chili:
    """One server on a free port, in memory, or with a log of its changes: then it keeps its tables
    when it is killed. Raises when it cannot start.

    Use as a context manager, or `start()` and `stop()`.
    """

    def __init__(self, *, logged: bool = False) -> None:
        self.port = free_port()
        self.url = f"kdb://127.0.0.1:{self.port}"
        self._directory = Path(tempfile.mkdtemp(prefix="adhouse-chili-"))
        self.log = self._directory / "timeseries.log"
        self._serves = ".ts.opened" if logged else "1b"
        program = Program(
            name="chili",
            # `-P`: the syntax of q.
            command=[
                str(Path(sys.executable).with_name("chili")),
                *("-P", "--headless", "-l", "error", "-p", str(self.port)),
                *([str(ROOT / "deploy" / "kdb" / "chili.q")] if logged else []),
            ],
            environment={**os.environ, "TIMESERIES_LOG": str(self._directory)},
            refusal=self._refusal,
        )
        self._child = Child(program, log_directory=self._directory)

    def start(self) -> None:
        self._child.start()
        self._child.wait_ready(START_TIMEOUT_S)

    def init(self) -> bool:
        """Load the product's functions; True when there were no tables."""
        link = self.link()
        try:
            return init(link)
        finally:
            link.close()

    def link(self, timeout_s: int = 5) -> KdbLink:
        return KdbLink(KdbAddress.of(self.url), timeout_s=timeout_s)

    def _refusal(self) -> str | None:
        link = self.link(1)
        try:
            return None if link.call(self._serves) else "the log is not read yet"
        except StoreAwayError as error:
            return str(error)
        finally:
            link.close()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        self._process().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self._process().send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """`kill -9`: what it held is gone, but for what its log has."""
        self._child.kill()

    def again(self) -> None:
        """`kill -9`, and a new process."""
        self.kill()
        self.start()

    def stop(self) -> None:
        self._child.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _process(self) -> psutil.Process:
        assert self._child.pid is not None
        return psutil.Process(self._child.pid)

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
