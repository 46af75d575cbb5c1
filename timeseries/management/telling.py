"""How the writer tells what it does: one line that changes on a terminal, log lines elsewhere."""

import time
from logging import getLogger
from typing import TextIO

from rich.console import Console

from timeseries.drain import Progress

log = getLogger(__name__)

_LINE_EVERY_S = 60.0


class Teller:
    """Is told of every pass, and says as much of it as `out` can bear."""

    def __init__(self, out: TextIO, *, store: str) -> None:
        self._store = store
        self._status = Console(file=out).status("waiting") if out.isatty() else None
        self._told_s = time.monotonic()
        self._told_entries = 0
        if self._status is not None:
            self._status.start()
        else:
            log.info("writing measurements into %s", store)

    def tell(self, progress: Progress) -> None:
        """One pass is over."""
        if self._status is not None:
            self._status.update(self._words(progress))
        elif time.monotonic() - self._told_s >= _LINE_EVERY_S:
            self._told_s = time.monotonic()
            news = progress.entries - self._told_entries
            self._told_entries = progress.entries
            log.info("%d entries stored in a minute, lag %.1f s", news, progress.lag_s)

    def close(self) -> None:
        """No more."""
        if self._status is not None:
            self._status.stop()

    def _words(self, progress: Progress) -> str:
        if progress.trouble:
            return f"{self._store}: {progress.trouble}"
        return (
            f"{self._store}: {progress.entries} entries stored from {progress.streams} streams, "
            f"lag {progress.lag_s:.1f} s"
        )
