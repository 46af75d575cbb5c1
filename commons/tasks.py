"""What tasks share: a store that is away is no fault of a task. It says so in one line, and the
next run does it.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import psycopg
import redis
import structlog
from django.db import InterfaceError, OperationalError

from runtime.errors import BusyError

log = structlog.get_logger(__name__)
Given = ParamSpec("Given")
Result = TypeVar("Result")
# InternalError: PostgreSQL ended a transaction that stood still for too long.
AWAY = (
    *(redis.RedisError, psycopg.OperationalError, psycopg.InternalError, psycopg.InterfaceError),
    *(OperationalError, InterfaceError, BusyError, OSError),
)


def unless_away(
    words: str, otherwise: Result
) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """Let a task give `otherwise` when a store is away, and a line in the log that begins with
    these words.
    """

    def decorate(task: Callable[Given, Result]) -> Callable[Given, Result]:
        @wraps(task)
        def bearing(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            try:
                return task(*args, **kwargs)
            except AWAY as error:
                log.warning(words, arguments=[*args], error=str(error).strip())
                return otherwise

        return bearing

    return decorate
