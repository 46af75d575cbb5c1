"""A writer of time series that dies by `kill -9` at a named point of a pass. Not a test: a program
for one, `python -m tests.faults.doomed_writer POINT`. Waits for something to write first.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import django

django.setup()

from runtime import drain  # noqa: E402
from runtime.stream import Stream  # noqa: E402
from timeseries.opening import open_streams, open_writer  # noqa: E402
from timeseries.stores.postgres_apply import Apply  # noqa: E402

WAIT_S = 20.0


def then_die(real: Callable[..., Any]) -> Callable[..., None]:
    def doomed(*args: Any, **options: Any) -> None:
        real(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    return doomed


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# After the entries were read, inside the transaction, after its commit and before the trim, and
# once all is done.
POINTS: dict[str, tuple[object, str, Callable[..., Any]]] = {
    "read": (Apply, "__call__", die),
    "applied": (Apply, "__call__", then_die(Apply.__call__)),
    "committed": (drain, "_trim", die),
    "trimmed": (Stream, "trim", then_die(Stream.trim)),
}


def main(point: str) -> None:
    """Die there; exit code 3 when nothing came to be written."""
    streams, give_up_s = open_streams(), time.monotonic() + WAIT_S
    while not any(stream.length() for stream in streams):
        if time.monotonic() > give_up_s:
            sys.exit(3)
        time.sleep(0.01)
    target, name, doomed = POINTS[point]
    with patch.object(target, name, doomed):
        for stream in streams:
            open_writer().drain(stream)


if __name__ == "__main__":
    main(sys.argv[1])
