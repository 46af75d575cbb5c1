"""Logs people in beside the event loop, in threads of their own and with a bounded line."""

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
_encode = msgspec.json.Encoder().encode


class LoginLane(AnswerLane):
    """One worker's threads for logins."""

    name = "login"
    busy = BUSY
    # Longer than a full line takes when the cores are busy.
    patience_s = 5.0

    def hand_over(self, login: Login, reply: Reply) -> None:
        """Reply later, on this event loop, with the new session or why there is none; at once when
        too many wait.
        """
        self._take(partial(_log_in, login), partial(_end, reply))


def _log_in(login: Login) -> Answer:
    opened = services.session_open(**login._asdict())
    return Answer(200, _encode({"token": opened.token, "user": opened.person.shown()}))


def _end(reply: Reply, answer: Answer) -> None:
    if answer is BUSY:
        count_login("busy")
    reply(answer)
