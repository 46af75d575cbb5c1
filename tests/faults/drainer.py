"""Drainers that die, or stand still, at a named point of a pass. Not a test: a program for one.

`python -m tests.faults.drainer POINT` drains shard 0 over and over until a pass that has entries
reaches the point. There it kills itself with SIGKILL, or for `stopped` stops itself, and goes on
when it is continued; then it prints what its transaction came to.
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

import psycopg  # noqa: E402
import redis  # noqa: E402

from counters import applying, drain  # noqa: E402
from runtime import drain as mechanism  # noqa: E402
from runtime.stream import Stream  # noqa: E402

_PAUSE_S = 0.005
# Instead of 5 s: PostgreSQL ends a transaction that stands still for so long.
_IDLE_MS = 500


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def after(real: Callable[..., Any], then: Callable[[], None]) -> Callable[..., Any]:
    """`real`, and `then` once it gave something."""

    def call(*args: Any, **kwargs: Any) -> Any:
        found = real(*args, **kwargs)
        if found:
            then()
        return found

    return call


def before(real: Callable[..., Any], then: Callable[[], None]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        then()
        return real(*args, **kwargs)

    return call


# Where the seams of a pass are: what is put in the place of what.
POINTS: dict[str, Callable[[], Any]] = {
    "read": lambda: patch.object(Stream, "read", after(Stream.read, die)),
    "inside": lambda: patch.object(applying, "_number", before(applying._number, die)),
    "committed": lambda: patch.object(mechanism, "_trim", before(mechanism._trim, die)),
    "trimmed": lambda: patch.object(mechanism, "_trim", after(mechanism._trim, die)),
    "stopped": lambda: patch.object(applying, "_number", before(applying._number, stop)),
}


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def run(point: str) -> None:
    shard = drain.shard_drain(0)
    shard._limits = mechanism.DrainLimits(idle_ms=_IDLE_MS)
    with POINTS[point]():
        while True:
            try:
                if shard.run().entries:
                    say("went through")
                    return
            except psycopg.Error as error:
                say(f"failed: {type(error).__name__}")
                if point == "stopped":
                    return
            except redis.RedisError:
                pass
            time.sleep(_PAUSE_S)


run(sys.argv[1])
