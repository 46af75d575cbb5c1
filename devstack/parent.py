"""Hears of a SIGINT that make got alone.

A terminal sends Ctrl-C to make and to us. A program that sends SIGINT to make's id only tells make:
that passes SIGTERM on, but takes SIGINT for something we have heard as well, and waits for us to
end. While it does so it has SIGINT blocked, which Linux shows.
"""

import os
import signal
from pathlib import Path

_SIGINT_BIT = 1 << (signal.SIGINT - 1)


class Parent:
    """Who started this process; True of `was_interrupted` only if it was make."""

    def __init__(self, pid: int | None = None) -> None:
        self._pid = os.getppid() if pid is None else pid
        self._is_make = "make" in self._read("comm") and not self._blocks_sigint()

    def was_interrupted(self) -> bool:
        """Whether it was sent a SIGINT and now waits for us."""
        return self._is_make and self._blocks_sigint()

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
