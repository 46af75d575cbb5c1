"""What the commands share: errors in one clear line, and stopping when asked to."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import psycopg
import redis
from django.core.management.base import CommandError
from django.db import DatabaseError

# What the next try may find in order again.
AWAY = (redis.RedisError, psycopg.Error, DatabaseError, OSError)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn what a store may say into one line and exit code 1."""
    try:
        yield
    except redis.RedisError as error:
        raise CommandError(f"redis cannot be used: {first_line(error)}") from error
    except (psycopg.Error, DatabaseError) as error:
        raise CommandError(f"the database cannot be used: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """What an error says, without its details."""
    return str(error).strip().partition("\n")[0]


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set, from now on, instead of ending the process."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return stopping
