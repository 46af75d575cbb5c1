"""Hears of a SIGINT that make got alone.

A terminal sends Ctrl-C to make and to us. A program that sends SIGINT to make's id only tells make:
that passes SIGTERM on, but takes SIGINT for something we have heard as well, and waits for us to
end. While it does so it has SIGINT blocked, which Linux shows.

bootstrap.py needs it too: standard library only, and no syntax younger than Python 3.6.
"""

import os
import signal
import time
from pathlib import Path

_SIGINT_BIT = 1 << (signal.SIGINT - 1)
# make has it blocked for less than that while it starts us.
_MOMENT_S = 0.02


class Parent:
    """Who started this process; True of `was_interrupted` only if it was make."""

    def __init__(self, pid: "int | None" = None) -> None:
        self._pid = os.getppid() if pid is None else pid
        # Who has make start with it blocked has us start so as well.
        own = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._is_make = "make" in self._read("comm") and signal.SIGINT not in own

    def was_interrupted(self) -> bool:
        """Whether it was sent a SIGINT, before now or before we began, and now waits for us."""
        if not self._is_make or not self._blocks_sigint():
            return False
        time.sleep(_MOMENT_S)
        return self._blocks_sigint()

    def _blocks_sigint(self) -> bool:
        for line in self._read("status").splitlines():
            if line.startswith("SigBlk:"):
                return bool(int(line.split()[1], 16) & _SIGINT_BIT)
        return False

    def _read(self, name: str) -> str:
        try:
            return Path(f"/proc/{self._pid}/{name}").read_text()
        except OSError:
            return ""
