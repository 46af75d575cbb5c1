"""A process that writes ads beside a measurement, for as long as it is told to."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from select import select
from typing import Any, Self

from benchmarks.house import Catalog
from benchmarks.servers import PYTHON, ROOT

Report = dict[str, Any]

# It writes for so long before the measurement begins.
_AHEAD_S = 0.3
# For its start, and for the slowest write to be seen by all workers.
_ANSWER_TIMEOUT_S = 60.0


class Writer:
    """`benchmarks.writer` on a catalog, watching the pool on `port`; a context manager."""

    def __init__(self, catalog: Catalog, *, port: int, writes_per_s: int) -> None:
        self._command = [PYTHON, "-m", "benchmarks.writer", str(port), str(writes_per_s)]
        self._environment = {**os.environ, **catalog.environment(catalog.directory)}

    @contextmanager
    def writing(self, reports: list[Report]) -> Iterator[None]:
        """Beside what is done meanwhile; adds to `reports` what it says of it. RuntimeError when it
        ends instead, or says nothing.
        """
        self._tell("write")
        time.sleep(_AHEAD_S)
        yield
        self._tell("enough")
        reports.append(json.loads(self._answer()))

    def _tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def _answer(self) -> str:
        stdout = self._process.stdout
        assert stdout is not None
        readable, _, _ = select([stdout], [], [], _ANSWER_TIMEOUT_S)
        line = stdout.readline() if readable else ""
        if not line:
            raise RuntimeError("the writer failed")
        return line

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._environment, stdin=pipe, stdout=pipe, text=True
        )
        with self.writing([]):
            pass  # From now on it is warm.
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()
