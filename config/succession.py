"""Lets the workers of a pool leave only when those that replace them serve.

On SIGHUP gunicorn starts new workers and ends the old ones in the same moment, though the new
ones have Django to import and a catalog to load: for seconds nobody would accept. So an old
worker that is told to end looks whether it is being replaced, and if so goes on serving until
its successors do. What they know of each other are the times of files in one directory.
"""

import contextlib
import os
import shutil
import time
from pathlib import Path

# A successor that takes longer is not waited for.
PATIENCE_S = 120.0
# So long, on a busy host, a worker may be forked already and not have said that it begins.
FIRST_SIGN_S = 5.0


class Succession:
    """What one process of a pool, master or worker, says to the others and knows of them."""

    def __init__(self, directory: Path, pool: str) -> None:
        self._directory = directory / f"succession-{pool}"
        self._reload = self._directory / "reload"

    def begin(self) -> None:
        """In the master, before the first worker: forget those of an earlier start."""
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)

    def announce(self, workers: int) -> None:
        """In the master, before that many workers are started to replace all others."""
        with contextlib.suppress(OSError):
            self._reload.write_text(str(workers))
            _stamp(self._reload)

    def boot(self) -> None:
        """In a worker: it begins to start."""
        self._mark("booting")

    def serve(self) -> None:
        """In a worker: it serves from now on."""
        self._mark("serving")

    def _mark(self, stage: str) -> None:
        with contextlib.suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True)
            _stamp(self._directory / f"{stage}-{os.getpid()}")

    def forget(self, pid: int) -> None:
        """In the master: that worker is gone."""
        for stage in ("booting", "serving"):
            with contextlib.suppress(OSError):
                (self._directory / f"{stage}-{pid}").unlink()

    def awaited(self) -> bool:
        """In a worker that was told to end: whether others must begin to serve first.

        Not when there are none: at a stop they are told to end like all others, and those that
        were still starting do so at once. gunicorn may say it again and again, so that a second
        signal means nothing.
        """
        try:
            announced_ns = self._reload.stat().st_mtime_ns
            workers = int(self._reload.read_text())
        except (OSError, ValueError):
            return False
        booting = self._since(announced_ns, "booting")
        serving = self._since(announced_ns, "serving")
        age_s = (time.time_ns() - announced_ns) / 1e9
        return (
            os.getpid() not in serving
            and len(serving) < workers
            and age_s < PATIENCE_S
            and (any(map(_lives, booting)) or (not booting and age_s < FIRST_SIGN_S))
        )

    def _since(self, moment_ns: int, stage: str) -> set[int]:
        """The workers that have reached the stage after that moment."""
        late = set()
        for mark in self._directory.glob(f"{stage}-*"):
            # One that just left is not among them.
            with contextlib.suppress(OSError):
                if mark.stat().st_mtime_ns > moment_ns:
                    late.add(int(mark.name.partition("-")[2]))
        return late


def _stamp(path: Path) -> None:
    # The kernel's own times of files are some milliseconds coarse.
    path.touch()
    now_ns = time.time_ns()
    os.utime(path, ns=(now_ns, now_ns))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
