"""Keeps the processes of the stack running, and stops them in order.

One thread waits for three things: a child that died (SIGCHLD), a wish to stop (SIGINT, SIGTERM,
SIGHUP), and the time at which a dead child is to be started again. Children are started from this
thread only, because the kernel ties their lives to it.
"""

import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from devstack.errors import StackError
from devstack.parent import Parent
from devstack.programs import Child, Program

# The first restart follows within a blink, the next ones within two seconds; one that keeps dying
# waits twice as long each time.
FIRST_RESTART_DELAY_S, PROMPT_RESTART_DELAY_S = 0.2, 1.6
PROMPT_DEATHS = 10
LONGEST_RESTART_DELAY_S = 30.0
# A process that ran this long had started well: its death counts as the first one again.
SETTLED_S = 10.0
# Deaths in a row after which a process that never served yet is given up.
DEATHS_BEFORE_GIVING_UP = 5
# When each stage of the stop is over, counted from its beginning; all within 15 s.
STAGE_ENDS_S = (9.0, 11.5, 14.0)
_IDLE_WAIT_S = 1.0
_READY_POLL_S = 0.1
_STILL_WAITING_S = 10.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """Somebody asked the stack to stop; raised out of the waiting main loop."""


@dataclass
class _Watched:
    child: Child
    deaths: int = 0
    restart_at_s: float | None = None
    ready: bool = False
    refusal: str = field(default="it was only just started")

    @property
    def name(self) -> str:
        return self.child.program.name


def restart_delay_s(deaths: int) -> float:
    """Seconds to wait before starting a process again after its `deaths`-th death in a row."""
    if deaths <= PROMPT_DEATHS:
        return min(PROMPT_RESTART_DELAY_S, FIRST_RESTART_DELAY_S * 2.0 ** (deaths - 1))
    doublings = min(deaths - PROMPT_DEATHS, 30)
    return min(LONGEST_RESTART_DELAY_S, PROMPT_RESTART_DELAY_S * 2.0**doublings)


class Supervisor:
    """A context manager that owns the processes: leaving it, for whatever reason, stops them all.

    `on_change` is told name and pid of every running process whenever one starts or dies.
    """

    def __init__(
        self,
        *,
        logs: Path,
        say: Callable[[str], None],
        on_change: Callable[[Mapping[str, int]], None],
        inherited_fds: Sequence[int] = (),
    ) -> None:
        self._logs = logs
        self._say = say
        self._on_change = on_change
        self._inherited_fds = inherited_fds
        self._watched: list[_Watched] = []
        self._stop_requested = False
        self._parent = Parent()
        self._previous_handlers: dict[signal.Signals, Any] = {}
        self._wake_fds = (-1, -1)

    def __enter__(self) -> Self:
        self._wake_fds = os.pipe()
        for descriptor in self._wake_fds:
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._wake_fds[1], warn_on_full_buffer=False)
        for number in _STOP_SIGNALS:
            self._previous_handlers[number] = signal.signal(number, self._request_stop)
        # Python must handle it for the wake-up to be written.
        self._previous_handlers[signal.SIGCHLD] = signal.signal(
            signal.SIGCHLD, lambda _number, _frame: None
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop_all()
        signal.set_wakeup_fd(-1)
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        for descriptor in self._wake_fds:
            os.close(descriptor)

    def start(self, programs: Iterable[Program]) -> None:
        """Start these programs, and from now on again whenever one dies."""
        for program in programs:
            child = Child(program, log_directory=self._logs, inherited_fds=self._inherited_fds)
            watched = _Watched(child)
            self._watched.append(watched)
            self._start(watched)
        self._report()

    def wait_ready(self) -> None:
        """Wait until every program serves. StackError when one cannot be started.

        Raises StopRequested, like every wait here, when the stack is asked to stop.
        """
        next_word_s = time.monotonic() + _STILL_WAITING_S
        while waiting := [watched for watched in self._watched if not watched.ready]:
            for watched in waiting:
                self._ask(watched)
            if time.monotonic() >= next_word_s:
                next_word_s += _STILL_WAITING_S
                for watched in waiting:
                    if not watched.ready:
                        self._say(f"still waiting for {watched.name}: {watched.refusal}")
            self._step(0.0 if all(watched.ready for watched in waiting) else _READY_POLL_S)

    def run_to_end(self, program: Program) -> None:
        """Run a program once while watching the others. StackError unless it exits with 0."""
        child = Child(program, log_directory=self._logs, inherited_fds=self._inherited_fds)
        child.start()
        try:
            while (ending := child.ending()) is None:
                self._step(_READY_POLL_S)
            if ending != "exit code 0":
                raise StackError(f"{program.name} failed ({ending})\n{child.log_tail()}")
        finally:
            child.stop(grace_s=1.0)

    def watch(self) -> None:
        """Keep everything running until asked to stop (StopRequested)."""
        while True:
            self._step(_IDLE_WAIT_S)

    def _request_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_requested = True

    def _ask(self, watched: _Watched) -> None:
        if watched.child.pid is not None:
            refusal = watched.child.program.refusal()
            watched.ready = refusal is None
            watched.refusal = refusal or ""
        if not watched.ready and watched.deaths >= DEATHS_BEFORE_GIVING_UP:
            raise StackError(f"{watched.name} cannot be started; its log is {watched.child.log}")

    def _step(self, timeout_s: float) -> None:
        """Wait at most `timeout_s` for something to do, and do it."""
        now_s = time.monotonic()
        due_s = [w.restart_at_s - now_s for w in self._watched if w.restart_at_s is not None]
        readable, _, _ = select.select(
            [self._wake_fds[0]], [], [], max(0.0, min([timeout_s, *due_s]))
        )
        if readable:
            os.read(self._wake_fds[0], 4096)
        if self._stop_requested or self._parent.was_interrupted():
            raise StopRequested
        for watched in self._watched:
            self._tend(watched)

    def _tend(self, watched: _Watched) -> None:
        """Notice a death; start again what is due."""
        if watched.restart_at_s is not None:
            if time.monotonic() >= watched.restart_at_s:
                self._start(watched)
                self._report()
        elif (ending := watched.child.ending()) is not None:
            self._bury(watched, ending)
            self._report()

    def _start(self, watched: _Watched) -> None:
        again = watched.restart_at_s is not None
        watched.restart_at_s = None
        try:
            watched.child.start()
        except OSError as error:
            watched.child.started_at_s = time.monotonic()
            self._bury(watched, str(error))
            return
        if again:
            self._say(f"{watched.name} runs again as process {watched.child.pid}")

    def _bury(self, watched: _Watched, ending: str) -> None:
        """Clear away what is left of a dead process, say so, and set the time of its restart."""
        watched.child.kill()
        now_s = time.monotonic()
        if now_s - watched.child.started_at_s >= SETTLED_S:
            watched.deaths = 0
        watched.deaths += 1
        delay_s = restart_delay_s(watched.deaths)
        watched.restart_at_s = now_s + delay_s
        times = "" if watched.deaths == 1 else f" for the {watched.deaths}. time in a row"
        self._say(f"{watched.name} died{times} ({ending}); starting it again in {delay_s:.1f} s")
        if tail := watched.child.log_tail():
            self._say(f"the last lines of {watched.child.log}:\n{tail}")

    def _report(self) -> None:
        self._on_change({w.name: w.child.pid for w in self._watched if w.child.pid is not None})

    def _stop_all(self) -> None:
        """Stop stage by stage, so that nobody loses what it depends on before it is done.

        Asking again hurries nothing: make and a terminal both pass one wish on twice.
        """
        began_s = time.monotonic()
        for stage, ends_s in enumerate(STAGE_ENDS_S):
            children = [w.child for w in self._watched if w.child.program.stop_stage == stage]
            for child in children:
                child.send(child.program.stop_signal)
            for child in children:
                if not child.wait_ended(began_s + ends_s - time.monotonic()):
                    self._say(f"{child.program.name} did not stop in time and is killed")
                child.kill()
        self._watched.clear()
