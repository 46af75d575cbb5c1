"""Logs people in beside the event loop, in threads of their own and with a bounded line."""

from collections.abc import Callable
from functools import partial

import msgspec

from accounts import services
from accounts.hashing import TOO_MANY_MSG
from accounts.login_door import Login
from accounts.stages import count_login
from commons.answering import AnswerLane
from runtime.http.answer import Answer
from runtime.http.errors import error_answer
from runtime.http.routes import Reply

BUSY = error_answer(503, TOO_MANY_MSG, retry_after_s=1)
# Longer than a full line takes when the cores are busy.
_PATIENCE_S = 5.0
_encode = msgspec.json.Encoder().encode


class LoginLane:
    """One worker's threads for logins; made and used on its event loop.

    `refusal` words what the services raise, and logs what nobody foresaw.
    """

    def __init__(
        self, *, threads: int, waiting: int, refusal: Callable[[Exception], Answer]
    ) -> None:
        self._lane = AnswerLane(
            name="login",
            threads=threads,
            waiting=waiting,
            busy=BUSY,
            refusal=refusal,
            patience_s=_PATIENCE_S,
        )

    def hand_over(self, login: Login, reply: Reply) -> None:
        """Reply later, on this event loop, with the new session or why there is none; at once when
        too many wait.
        """
        self._lane.hand_over(partial(_log_in, login), partial(_end, reply))

    def stop(self) -> None:
        """Let the threads go once they are done."""
        self._lane.stop()


def _log_in(login: Login) -> Answer:
    opened = services.session_open(**login._asdict())
    return Answer(200, _encode({"token": opened.token, "user": opened.person.shown()}))


def _end(reply: Reply, answer: Answer) -> None:
    if answer is BUSY:
        count_login("busy")
    reply(answer)
