"""The pool: several processes on one port, replaced when they die, leaving in good order."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil
import pytest

from config.env import BASE_DIR
from devstack.ports import free_port
from tests.packets.support import Line, packet
from tests.support.stack import alive, wait_until

TIMEOUT_S = 20.0


class Running:
    """The pool as a program of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.packets.pool_app", str(self.port)],
            cwd=BASE_DIR,
            stdout=subprocess.PIPE,
            text=True,
        )

    def pid(self) -> int:
        """The process that answers a new connection; 0 for none."""
        with suppress(OSError, AssertionError), Line(self.port) as line:
            return int(line.ask("VALIDATE", Token="t")["User"]["Username"])
        return 0

    def children(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    def serving(self) -> set[int]:
        """Both processes, once each has answered."""
        seen: set[int] = set()

        def both() -> bool:
            seen.add(self.pid())
            return len(seen & self.children()) == 2

        wait_until(both, timeout_s=TIMEOUT_S, what="both processes answer")
        return self.children()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.terminate()
        self.process.communicate(timeout=TIMEOUT_S)


@pytest.fixture
def pool() -> Iterator[Running]:
    with Running() as running:
        running.serving()
        yield running


def test_a_process_that_dies_is_replaced_and_the_other_goes_on(pool: Running) -> None:
    before = pool.serving()
    with Line(pool.port) as line:
        line.send(packet("VALIDATE", Token="die"))
        with pytest.raises((ConnectionError, AssertionError)):
            line.read()
    # Each question is a new connection: not one is refused, also not while a process is missing.
    assert all(pool.pid() for _ in range(100))
    assert len(pool.serving() & before) == 1


def test_sigterm_answers_what_has_come_and_ends_all(pool: Running) -> None:
    children = pool.serving()
    with Line(pool.port) as line, Line(pool.port) as idle:
        idle.ask("VALIDATE", Token="t")
        line.ask("VALIDATE", Token="t")
        line.send(packet("LOGIN", Username="a", Password="b") + packet("VALIDATE", Token="t"))
        pool.process.send_signal(signal.SIGTERM)
        assert [line.read()["Success"] for _ in range(2)] == [True, True]
        assert line.ended()
        assert idle.ended()
    assert pool.process.wait(TIMEOUT_S) == 0
    assert not any(map(alive, children))


def test_processes_end_when_their_parent_is_killed(pool: Running) -> None:
    children = pool.serving()
    pool.process.kill()
    wait_until(
        lambda: not any(map(alive, children)),
        timeout_s=TIMEOUT_S,
        what="the processes are gone",
    )


def test_a_port_in_use_is_said(pool: Running) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "tests.packets.pool_app", str(pool.port)],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert second.returncode == 3
    assert second.stdout.startswith(f"port {pool.port} cannot be used: Address already in use")
    assert len(pool.serving()) == 2
