"""Whatever happens to Redis, a session that was ended is refused on every worker and over TCP, and
one that was not is accepted.
"""

import http.client
import json
import secrets
import threading

import pytest
import redis

from tests.faults.support import database, killed, paused, request
from tests.packets.support import Line
from tests.support.stack import Stack, wait_until

pytestmark = pytest.mark.xdist_group("faults")

PASSWORD = "correct horse"
# The promise is a second with Redis and a minute without. What is tested is that it happens well
# within a minute, and then stays so.
ENDED_TIMEOUT_S = 20.0
# More than enough for each worker to be asked.
ASKED = 12


def ask(stack: Stack, method: str, path: str, token: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    try:
        headers = {"authorization": f"Bearer {token}"}
        connection.request(method, f"/api/v1/users/{path}", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def everywhere(stack: Stack, token: str) -> set[int]:
    """What the workers say of a session, each being asked on connections of its own, and what the
    processes of the packets say of it, in the same words.
    """
    return {ask(stack, "GET", "me", token)[0] for _ in range(ASKED)} | {
        validate(stack, token) for _ in range(ASKED)
    }


def validate(stack: Stack, token: str) -> int:
    with Line(stack.packets_port) as line:
        return 200 if line.ask("VALIDATE", Token=token)["Success"] else 401


class Someone:
    """A user with two sessions that every worker has in memory."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.credentials = {"username": f"u{secrets.token_hex(10)}", "password": PASSWORD}
        made = request(stack.port, "POST", "/api/v1/users/register", body=self.credentials)
        assert made.status == 201
        self.mine, self.other = self.log_in(), self.log_in()
        for _ in range(2):
            assert everywhere(stack, self.mine) == everywhere(stack, self.other) == {200}

    def log_in(self) -> str:
        answer = request(self.stack.port, "POST", "/api/v1/users/login", body=self.credentials)
        assert answer.status == 200
        token: str = answer.body["token"]
        return token

    def end_other(self) -> None:
        _, listed = ask(self.stack, "GET", "me/sessions/", self.mine)
        [other] = [each["id"] for each in json.loads(listed) if not each["current"]]
        status, _ = ask(self.stack, "DELETE", f"me/sessions/{other}/", self.mine)
        assert status == 204

    def wait_ended(self) -> None:
        """Until every worker refuses the other session; mine is accepted all the while."""

        def ended() -> bool:
            assert everywhere(self.stack, self.mine) == {200}
            return everywhere(self.stack, self.other) == {401}

        wait_until(ended, timeout_s=ENDED_TIMEOUT_S, what="the session is refused everywhere")

    def assert_stays_ended(self, rounds: int = 3) -> None:
        for _ in range(rounds):
            assert everywhere(self.stack, self.other) == {401}
            assert everywhere(self.stack, self.mine) == {200}
            threading.Event().wait(0.3)


@pytest.mark.drill
def test_a_second_after_its_end_nobody_accepts_a_session(victim: Stack) -> None:
    """The promise with Redis, to the letter: the clock begins with the answer."""
    someone = Someone(victim)
    for _ in range(20):
        someone.end_other()
        threading.Event().wait(1.0)
        assert everywhere(victim, someone.other) == {401}
        someone.other = someone.log_in()
        assert everywhere(victim, someone.other) == {200}


def test_a_session_ended_while_redis_stands_still(victim: Stack) -> None:
    someone = Someone(victim)
    with paused(victim.pids["redis"]):
        someone.end_other()
        someone.wait_ended()
        someone.assert_stays_ended()
    # Redis still holds what it knew before.
    someone.assert_stays_ended()


def test_a_session_ended_while_redis_is_gone_and_a_lockout_that_outlives_it(victim: Stack) -> None:
    someone = Someone(victim)
    wrong = {**someone.credentials, "password": "wrong horse"}
    for _ in range(10):
        assert request(victim.port, "POST", "/api/v1/users/login", body=wrong).status == 401
    with killed(victim, "redis"):
        someone.end_other()
        someone.wait_ended()
    someone.assert_stays_ended()
    answer = request(victim.port, "POST", "/api/v1/users/login", body=someone.credentials)
    assert answer.status == 429


def test_a_session_ended_in_a_moment_of_trouble(victim: Stack) -> None:
    """Shorter than anybody needs to notice that Redis was away: its old word must not count."""
    someone = Someone(victim)
    with paused(victim.pids["redis"]):
        someone.end_other()
    someone.wait_ended()
    someone.assert_stays_ended()


def test_a_message_that_nobody_heard(victim: Stack) -> None:
    """Ended in PostgreSQL alone, as by a process that died before it could tell."""
    someone = Someone(victim)
    username = someone.credentials["username"]
    with database(victim) as connection:
        connection.execute(
            "UPDATE accounts_session SET ended_at = now(), changed_at = now() WHERE user_id ="
            " (SELECT id FROM accounts_user WHERE username = %s) AND created_at <"
            " (SELECT max(created_at) FROM accounts_session s JOIN accounts_user u"
            " ON u.id = s.user_id WHERE username = %s)",
            [username, username],
        )
    someone.mine, someone.other = someone.other, someone.mine
    someone.wait_ended()
    someone.assert_stays_ended(2)


def test_what_redis_forgets_or_is_told_lets_nobody_in(victim: Stack) -> None:
    someone = Someone(victim)
    with redis.Redis.from_url(victim.state["redis_url"]) as server:
        kept = {key: server.get(key) for key in server.scan_iter("accounts:session:*") if key}
        assert kept
        someone.end_other()
        # As somebody with a backup, or a bug, would.
        for key, value in kept.items():
            server.set(key, value or b"", ex=60)
        someone.wait_ended()
