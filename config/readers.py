"""Threads for hot reads that may have to wait for a store, so that the event loop does not."""

from collections.abc import Callable
from functools import partial

from commons.answering import AnswerLane
from commons.patience import patience
from config.faults import RETRY_AFTER_S
from runtime.http.answer import Answer
from runtime.http.errors import error_answer
from runtime.http.routes import Reply


class ReadLane(AnswerLane):
    """A worker's threads for reads."""

    name = "hot-read"
    busy = error_answer(503, "server: too many reads are waiting", retry_after_s=RETRY_AFTER_S)
    # While the database is away each read waits seconds for a connection.
    patience_s = 5.0

    def hand_over(self, work: Callable[[], Answer], reply: Reply) -> None:
        """Reply later, on this event loop, with what `work` gives or why it gives nothing; at once
        when too many wait.
        """
        self._take(partial(_read, work), reply)


def _read(work: Callable[[], Answer]) -> Answer:
    with patience(ReadLane.patience_s):
        return work()
