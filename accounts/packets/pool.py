"""Several serving processes on one port, and the parent that keeps them.

Each process has a listening socket of its own (SO_REUSEPORT): the kernel spreads new connections
over them. The parent makes the sockets and keeps them open, so that what connects while a process
that died is being replaced is served by its successor. Processes are forks of the parent, which
has everything imported and nothing running: a successor is there within a blink.
"""

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from logging import getLogger
from types import FrameType

log = getLogger(__name__)

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0
# A process that ran this long had started well.
SETTLED_S = 10.0
_POLL_S = 1.0

# What a process does, with a listening socket if it has one, until the other end of the pipe is
# closed or SIGTERM comes.
Work = Callable[[socket.socket | None, int], None]


class PortInUseError(Exception):
    """Another program listens on the port."""


def listeners(host: str, port: int, count: int) -> list[socket.socket]:
    """`count` listening sockets on one port. PortInUseError when somebody else has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made: list[socket.socket] = []
    try:
        # Without SO_REUSEPORT: with it, another stack of ours would go unnoticed.
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen(1)
        for _ in range(count):
            listener = socket.socket(family, socket.SOCK_STREAM)
            made.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind((host, port))
            listener.listen(4096)
            listener.setblocking(False)
    except OSError as error:
        for listener in made:
            listener.close()
        raise PortInUseError(f"port {port} cannot be used: {error.strerror}") from error
    return made


@dataclass
class _Place:
    """A socket, what to do with it, and the process that does."""

    listener: socket.socket | None
    work: Work
    pid: int = 0
    started_at_s: float = 0.0
    deaths: int = 0
    restart_at_s: float = 0.0


class Pool:
    """The processes. `run` is the parent's life."""

    def __init__(
        self,
        places: Iterable[tuple[socket.socket | None, Work]],
        *,
        grace_s: float,
        buried: Callable[[int], None] = lambda _pid: None,
    ) -> None:
        self._places = [_Place(listener, work) for listener, work in places]
        self._grace_s = grace_s
        self._buried = buried
        self._stopping = False
        self._lifeline, self._held = os.pipe()

    def run(self) -> None:
        """Keep every process running until SIGTERM or SIGINT, then let them answer what they have,
        and return when all are gone.
        """
        wake, waker = os.pipe()
        for descriptor in (wake, waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while not self._stopping:
            self._tend()
            due_s = [place.restart_at_s for place in self._places if not place.pid]
            pause_s = min([_POLL_S, *(at_s - time.monotonic() for at_s in due_s)])
            if select.select([wake], [], [], max(0.0, pause_s))[0]:
                os.read(wake, 4096)
        self._end()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _tend(self) -> None:
        """Notice deaths; start what is due."""
        for place in self._places:
            if place.pid and self._dead(place):
                lived_s = time.monotonic() - place.started_at_s
                place.deaths = 1 if lived_s > SETTLED_S else place.deaths + 1
                delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(place.deaths - 1, 10))
                place.restart_at_s = time.monotonic() + delay_s
            if not place.pid and time.monotonic() >= place.restart_at_s:
                self._start(place)

    def _dead(self, place: _Place) -> bool:
        pid, status = os.waitpid(place.pid, os.WNOHANG)
        if not pid:
            return False
        if not self._stopping:
            log.error("process %d ended: %s", pid, _in_words(status))
        self._buried(pid)
        place.pid = 0
        return True

    def _start(self, place: _Place) -> None:
        place.started_at_s = time.monotonic()
        # Or the child would take a signal that comes at once as the parent does: note it, no more.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        place.pid = os.fork()
        if place.pid == 0:
            self._live(place, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _live(self, place: _Place, signals: Iterable[int]) -> None:
        """The child's whole life; never returns into the parent's code."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, signals)
            os.close(self._held)
            for other in self._places:
                if other is not place and other.listener is not None:
                    other.listener.close()
            place.work(place.listener, self._lifeline)
            code = 0
        except BaseException:
            log.exception("a process of the pool failed")
        finally:
            # Not sys.exit: what the parent registered for its own end is not ours to run.
            os._exit(code)

    def _end(self) -> None:
        """SIGTERM to all, and SIGKILL to those that are not gone in time."""
        give_up_s = time.monotonic() + self._grace_s
        self._signal(signal.SIGTERM)
        for place in self._places:
            if place.listener is not None:
                place.listener.close()
        while any(place.pid and not self._dead(place) for place in self._places):
            if time.monotonic() > give_up_s:
                log.error("processes are killed after %.0f s", self._grace_s)
                self._signal(signal.SIGKILL)
                give_up_s = float("inf")
            time.sleep(0.02)

    def _signal(self, number: signal.Signals) -> None:
        for place in self._places:
            if place.pid:
                # Not reaped yet, so the number is still theirs.
                os.kill(place.pid, number)


def _in_words(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit code {os.waitstatus_to_exitcode(status)}"
