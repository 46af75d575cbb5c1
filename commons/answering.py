"""Hot requests whose answers need PostgreSQL: threads beside the event loop, a bounded line."""

import asyncio
from collections.abc import Callable
from functools import partial
from logging import getLogger
from typing import ClassVar

from django.db import Error, connections

from runtime.errors import DomainError
from runtime.http.answer import Answer
from runtime.http.errors import INTERNAL_ERROR
from runtime.http.routes import Reply
from runtime.lanes import Lane

log = getLogger(__name__)


class AnswerLane:
    """One worker's threads for one kind of request, which a subclass names; made and used on its
    event loop.

    `busy` is answered when too many wait, or one has waited for `patience_s`. `refusal` words what
    the services raise, and logs what nobody foresaw.
    """

    name: ClassVar[str]
    busy: ClassVar[Answer]
    patience_s: ClassVar[float]

    def __init__(
        self, *, threads: int, waiting: int, refusal: Callable[[Exception], Answer]
    ) -> None:
        self._refusal = refusal
        self._lane: Lane[Answer] = Lane(
            asyncio.get_running_loop(),
            name=self.name,
            threads=threads,
            waiting=waiting,
            patience_s=self.patience_s,
            late=self.busy,
            rest=give_connection_back,
        )

    def _take(self, work: Callable[[], Answer], reply: Reply) -> None:
        """Reply later, on this event loop, with what `work` gives or why it gives nothing; at once
        when too many wait.
        """
        if not self._lane.take(partial(self._answer, work), reply):
            reply(self.busy)

    def _answer(self, work: Callable[[], Answer]) -> Answer:
        try:
            return work()
        except DomainError as error:
            return self._refused(error)
        except Exception as error:  # noqa: BLE001 - every one of them is answered
            # The next request shall not find what is left of this one's connection.
            give_connection_back()
            return self._refused(error)

    def _refused(self, error: Exception) -> Answer:
        try:
            return self._refusal(error)
        except Exception:
            log.exception("an error that could not be worded")
            return INTERNAL_ERROR

    def stop(self) -> None:
        """Let the threads go once they are done."""
        self._lane.stop()


def give_connection_back() -> None:
    """Give the thread's connection back to the pool. While others wait, each thread keeps its own:
    to take one out costs as much as a statement.
    """
    try:
        connections.close_all()
    except Error as error:
        log.warning("a connection could not be given back: %s", error)
