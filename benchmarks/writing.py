"""A process that writes ads beside a measurement, for as long as it is told to."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from benchmarks.house import Catalog
from benchmarks.servers import PYTHON, ROOT

# It writes for so long before and after what it is measured beside.
_MARGIN_S = 0.3
_STOP_TIMEOUT_S = 20.0


class Writer:
    """`benchmarks.writer` on a catalog, watching the pool on `port`; a context manager. `reports`
    has what it said of each time that it wrote.
    """

    def __init__(self, catalog: Catalog, *, port: int, writes_per_s: int) -> None:
        self.reports: list[dict[str, Any]] = []
        self._command = [PYTHON, "-m", "benchmarks.writer", str(port), str(writes_per_s)]
        self._environment = {**os.environ, **catalog.environment(catalog.directory)}

    @contextmanager
    def writing(self, duration_s: float) -> Iterator[None]:
        """Beside what takes at most that long."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{duration_s + 2 * _MARGIN_S}\n")
        self._process.stdin.flush()
        time.sleep(_MARGIN_S)
        yield
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the writer failed")
        self.reports.append(json.loads(line))

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._environment, stdin=pipe, stdout=pipe, text=True
        )
        with self.writing(0.0):
            pass  # From now on it is warm.
        self.reports.clear()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
