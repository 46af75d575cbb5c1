"""What commands share: errors in one clear line, and stopping when asked to."""

import logging
import math
import os
import signal
import sys
import threading
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

import psycopg
import redis
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import DatabaseError, Error, InterfaceError, OperationalError

from runtime.errors import BusyError

# What the next try may find in order again.
AWAY = (redis.RedisError, psycopg.Error, Error, OSError)
_NO_STACK = "nothing runs here: start `make run`, or set DATABASE_URL and REDIS_URL"


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn what a store or a full disk may say into one line and exit code 1."""
    if not settings.DATABASE_URL:
        raise CommandError(_NO_STACK)
    try:
        with _no_talk_of_the_pool():
            yield
    except BrokenPipeError:
        # Whoever read the output has left, as `head` does. Nothing is left to flush at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except (BusyError, ImproperlyConfigured) as error:
        raise CommandError(str(error)) from error
    except redis.RedisError as error:
        raise CommandError(f"redis cannot be used: {first_line(error)}") from error
    except (OperationalError, InterfaceError, psycopg.OperationalError) as error:
        raise CommandError(f"the database cannot be used: {first_line(error)}") from error
    except (DatabaseError, psycopg.Error) as error:
        raise CommandError(f"the database refused: {first_line(error)}") from error


@contextmanager
def _no_talk_of_the_pool() -> Iterator[None]:
    """Each try of the pool would be a line; what it comes to is said at the end."""
    pool = logging.getLogger("psycopg.pool")
    before = pool.level
    pool.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        pool.setLevel(before)


def seconds(text: str) -> float:
    """An option's value: more than 0, and an end to it."""
    return _within(float(text), "more than 0", above=0.0)


def seconds_or_for_ever(text: str) -> float:
    """The same, or `inf`."""
    value = float(text)
    return value if value == math.inf else _within(value, "more than 0, or inf", above=0.0)


def rate(text: str) -> float:
    """An option's value: so many a second, more than 0."""
    return seconds(text)


def count(text: str) -> int:
    """An option's value: 1 or more."""
    return _within(int(text), "1 or more", above=0)


def whole(text: str) -> int:
    """The same, or 0."""
    return _within(int(text), "0 or more", above=-1)


Number = TypeVar("Number", int, float)


def _within(value: Number, words: str, *, above: Number) -> Number:
    if not (above < value < math.inf):
        raise ArgumentTypeError(f"must be {words}")
    return value


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
