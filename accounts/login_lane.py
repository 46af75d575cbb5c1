"""Logs people in beside the event loop, in threads of their own and with a bounded line."""

import asyncio
from collections.abc import Callable
from functools import partial
from logging import getLogger

import msgspec
from django.db import Error, connections

from accounts import services
from accounts.hashing import TOO_MANY_MSG
from accounts.lanes import Lane
from accounts.login_door import Login
from accounts.stages import count_login
from runtime.errors import DomainError
from runtime.http.answer import Answer
from runtime.http.errors import error_answer
from runtime.http.routes import Reply

log = getLogger(__name__)

# Longer than a full line takes when the cores are busy.
_PATIENCE_S = 5.0
BUSY = error_answer(503, TOO_MANY_MSG, retry_after_s=1)
_encode = msgspec.json.Encoder().encode


class LoginLane:
    """One worker's threads for logins; made and used on its event loop.

    `refusal` words what the services raise, and logs what nobody foresaw.
    """

    def __init__(
        self, *, threads: int, waiting: int, refusal: Callable[[Exception], Answer]
    ) -> None:
        self._refusal = refusal
        self._lane: Lane[Answer] = Lane(
            asyncio.get_running_loop(),
            name="login",
            threads=threads,
            waiting=waiting,
            patience_s=_PATIENCE_S,
            late=BUSY,
            rest=_rest,
        )

    def hand_over(self, login: Login, reply: Reply) -> None:
        """Reply later, on this event loop, with the new session or why there is none; at once when
        too many wait.
        """
        done = partial(_end, reply)
        if not self._lane.take(partial(self._log_in, login), done):
            done(BUSY)

    def _log_in(self, login: Login) -> Answer:
        try:
            opened = services.session_open(**login._asdict())
        except DomainError as error:
            return self._refusal(error)
        except Exception as error:  # noqa: BLE001 - every one of them is answered
            # The next login shall not find what is left of this one's connection.
            _rest()
            return self._refusal(error)
        return Answer(200, _encode({"token": opened.token, "user": opened.person.shown()}))

    def stop(self) -> None:
        """Let the threads go once they are done."""
        self._lane.stop()


def _end(reply: Reply, answer: Answer) -> None:
    if answer is BUSY:
        count_login("busy")
    reply(answer)


def _rest() -> None:
    """Give the thread's connection back to the pool. While others wait, each thread keeps its own:
    to take one out costs as much as a statement.
    """
    try:
        connections.close_all()
    except Error as error:
        log.warning("a connection could not be given back: %s", error)
