"""How long this process waits for PostgreSQL to answer.

A server that is gone is noticed at once, and a host that is gone within seconds, by the kernel.
One that stands still is neither: the kernel on its side goes on to acknowledge what nobody reads.
Without a limit, whoever asked would wait for ever, and what they asked for would be done when
nobody wants it any more.

Django's connections are of a class that knows a limit; it is the process's, or the one of a
`patience` that the thread is in. None, as in commands and tasks, is no limit.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import OperationalError
from psycopg.abc import PQGen

_LONGEST_CHECK_S = 3.0
_CANCEL_S = 0.5


class NoAnswerError(OperationalError):
    """PostgreSQL did not answer in time. The connection is closed; what was asked may still be
    carried out, except what a transaction has not committed.
    """


class CommitUnansweredError(OperationalError):
    """Whether a transaction was committed is not known."""


class _Limits(threading.local):
    own_s: float | None = None
    is_own = False


_limits = _Limits()
_process_s: float | None = None


def limit_process(seconds: float | None) -> None:
    """From now on, wait so long for one answer; for processes that others wait for."""
    global _process_s
    _process_s = seconds


@contextmanager
def patience(seconds: float | None) -> Iterator[None]:
    """Within, this thread waits so long for one answer."""
    before = _limits.is_own, _limits.own_s
    _limits.is_own, _limits.own_s = True, seconds
    try:
        yield
    finally:
        _limits.is_own, _limits.own_s = before


def _limit_s() -> float | None:
    return _limits.own_s if _limits.is_own else _process_s


class PatientConnection(psycopg.Connection[Any]):
    """A connection whose every wait has the limit of who waits."""

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """As psycopg's own, which has no default for the limit. NoAnswerError beyond it."""
        limit_s = _limit_s() if timeout is None else timeout
        try:
            return super().wait(gen, interval, limit_s)
        except psycopg.errors._WaitTimeout as error:
            if timeout is not None:
                raise
            # So that PostgreSQL does not work for nobody; closed, or the next one who is given the
            # connection would read the answer to this question.
            with suppress(Exception):
                self.cancel_safe(timeout=_CANCEL_S)
            self.pgconn.finish()
            raise NoAnswerError(f"PostgreSQL has not answered for {limit_s} s") from error

    def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        """As psycopg's own; what the pool asks, to see whether a connection lives, not for long."""
        if query != "":
            return super().execute(query, *args, **options)
        limit_s = _limit_s()
        with patience(_LONGEST_CHECK_S if limit_s is None else min(limit_s, _LONGEST_CHECK_S)):
            return super().execute(query, *args, **options)

    def commit(self) -> None:
        """As psycopg's own. CommitUnansweredError when the answer is lost, or does not come."""
        try:
            super().commit()
        except OperationalError as error:
            if error.sqlstate is None:
                raise CommitUnansweredError(str(error)) from error
            raise


def is_uncertain(error: BaseException) -> bool:
    """Whether an error, as Django gives it, leaves open what became of a transaction."""
    return isinstance(error.__cause__, CommitUnansweredError)
