"""The board of workers: each writes what it holds, any of them can read what all hold.

Workers of one pool share a port, so nobody can ask a certain one. Each keeps a small JSON file
`<pool>-<pid>.json` in one directory of its host; a file whose process is gone is not read.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

# An entry older than this belongs to a worker that was killed and whose pid another process got.
STALE_S = 60.0


class Board:
    """This worker's entry on the board."""

    def __init__(self, directory: Path, pool: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._pool = pool
        self._path = directory / f"{pool}-{os.getpid()}.json"
        self._next = self._path.with_suffix(".next")

    def write(self, **state: Any) -> None:
        """Replace this worker's entry. A full disk leaves the old one, which then goes stale."""
        entry = {"pool": self._pool, "pid": os.getpid(), "written_at": time.time(), **state}
        try:
            self._next.write_text(json.dumps(entry))
            self._next.replace(self._path)
        except OSError:
            return

    def remove(self) -> None:
        """Take this worker off the board."""
        self._path.unlink(missing_ok=True)
        self._next.unlink(missing_ok=True)


def read_board(directory: Path) -> list[dict[str, Any]]:
    """The entries of all living workers, by pool and pid. `age_s` says how old each is: seconds
    mean that the worker stands still.
    """
    entries = []
    for path in sorted(directory.glob("*-*.json")):
        try:
            entry = json.loads(path.read_text())
            os.kill(entry["pid"], 0)
            entry["age_s"] = round(time.time() - entry.pop("written_at"), 3)
        except ProcessLookupError:
            path.unlink(missing_ok=True)
            continue
        except (OSError, ValueError, KeyError):
            continue
        if entry["age_s"] < STALE_S:
            entries.append(entry)
    return entries
