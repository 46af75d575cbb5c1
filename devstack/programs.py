"""One program of the stack, and the process that runs it.

A `Program` is a row of the stack's table: what to execute, how to tell that it serves, how to stop
it. A `Child` is its process: started in a session of its own (a Ctrl-C in the terminal reaches
only the stack, which then stops everything in order), output in a log file, tied to our life.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.errors import StackError

ROOT = Path(__file__).resolve().parent.parent
LAUNCHER = Path(__file__).with_name("child.py")
_POLL_S = 0.01
LOG_TAIL_LINES = 20
LOG_MAX_BYTES = 10 * 1024 * 1024


def _always_ready() -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Account:
    """An operating system user to run a program as."""

    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, and how.

    `refusal` says why the program does not serve yet, or None when it does; it must answer within
    about a second. `stop_stage` orders the stop: lower stages are gone before the next is told.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] | None = None
    account: Account | None = None
    before_start: Callable[[], None] = _always_ready
    refusal: Callable[[], str | None] = _always_ready
    stop_signal: signal.Signals = signal.SIGTERM
    stop_stage: int = 0


class Child:
    """The process of one program, started any number of times, one at a time."""

    def __init__(
        self, program: Program, *, log_directory: Path, inherited_fds: Sequence[int] = ()
    ) -> None:
        self.program = program
        self.log = log_directory / f"{program.name}.log"
        self.started_at_s = 0.0
        self._inherited_fds = tuple(inherited_fds)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start_bytes = 0

    @property
    def pid(self) -> int | None:
        """Process id, also that of its process group; None while there is no process."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process; only from the main thread, since its life hangs on the thread's."""
        self.program.before_start()
        self._rotate_log()
        account = self.program.account
        launch = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid())]
        launch.append(str(int(self.program.stop_signal)))
        launch.append(f"{account.uid}:{account.gid}" if account else "-")
        with self.log.open("ab") as log:
            self._log_start_bytes = log.tell()
            self._process = subprocess.Popen(
                [*launch, *self.program.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=self.program.environment,
                pass_fds=self._inherited_fds,
                start_new_session=True,
            )
        self.started_at_s = time.monotonic()

    def ending(self) -> str | None:
        """How the process ended, in words; None while it runs. Does not reap it."""
        if self._process is None:
            return "not started"
        result = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if result is None:
            return None
        if result.si_code == os.CLD_EXITED:
            return f"exit code {result.si_status}"
        return f"killed by {signal.Signals(result.si_status).name}"

    def kill(self) -> None:
        """End the process and its group with SIGKILL, whatever is left of them, and reap it.

        In that order: until the process is reaped its id belongs to nobody else.
        """
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # nobody is left, or (macOS) only the ended leader
        self._process.wait()
        self._process = None

    def send(self, signal_number: signal.Signals) -> None:
        """Send the process a signal; nothing when it has ended."""
        if self._process is not None and self.ending() is None:
            os.kill(self._process.pid, signal_number)

    def wait_ended(self, timeout_s: float) -> bool:
        """Whether the process has ended within `timeout_s`."""
        give_up_s = time.monotonic() + timeout_s
        while self.ending() is None:
            if time.monotonic() >= give_up_s:
                return False
            time.sleep(_POLL_S)
        return True

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until the program serves. StackError with the end of its log if it does not."""
        give_up_s = time.monotonic() + timeout_s
        while (refusal := self.program.refusal()) is not None:
            ending = self.ending()
            if ending is not None or time.monotonic() >= give_up_s:
                reason = ending or f"{refusal} after {timeout_s:.0f} s"
                raise StackError(f"{self.program.name} did not start: {reason}\n{self.log_tail()}")
            time.sleep(_POLL_S)

    def stop(self, grace_s: float) -> None:
        """Stop the process: its stop signal, then SIGKILL for it and its group after `grace_s`."""
        self.send(self.program.stop_signal)
        self.wait_ended(grace_s)
        self.kill()

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The last lines written since the process was started, indented."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(self._log_start_bytes, log.seek(0, os.SEEK_END) - 16_384))
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])

    def _rotate_log(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_MAX_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
