"""Redis carries hints and tasks only: nothing that happens to it loses a write or fails a read."""

import os
import signal
import threading

import pytest
import redis

from tests.faults.support import create, killed, no_read_fails, paused, pid_of, wait_agreed
from tests.support.stack import Stack, wait_until

pytestmark = pytest.mark.xdist_group("faults")

SOME_TIME = [3, pytest.param(20, marks=pytest.mark.drill)]


def client(stack: Stack) -> redis.Redis:
    return redis.Redis.from_url(stack.state["redis_url"])


@pytest.mark.parametrize("command", [("FLUSHALL",), ("CLIENT", "KILL", "TYPE", "pubsub")])
def test_a_command_that_forgets_everything(command: tuple[str, ...], victim: Stack) -> None:
    with no_read_fails(victim), client(victim) as server:
        for number in range(3):
            server.execute_command(*command)
            assert create(victim, f"Written after {command[0]} {number}").status == 201
            server.execute_command(*command)
        wait_agreed(victim)


@pytest.mark.parametrize("seconds", SOME_TIME)
def test_redis_stands_still(seconds: int, victim: Stack) -> None:
    with no_read_fails(victim):
        with paused(victim.pids["redis"]):
            assert create(victim, "Written while Redis stands still").status == 201
            wait_agreed(victim)
            threading.Event().wait(seconds)
            assert create(victim, "Written while it still does").status == 201
        wait_agreed(victim)


@pytest.mark.parametrize("seconds", SOME_TIME)
def test_redis_is_gone(seconds: int, victim: Stack) -> None:
    with no_read_fails(victim):
        with killed(victim, "redis"):
            assert create(victim, "Written while Redis is gone").status == 201
            wait_agreed(victim)
            threading.Event().wait(seconds)
        wait_until(lambda: pings(victim), timeout_s=30, what="Redis is back")
        wait_agreed(victim)


def pings(stack: Stack) -> bool:
    with client(stack) as server:
        try:
            return bool(server.ping())
        except redis.RedisError:
            return False


def test_the_supervisor_brings_redis_back(victim: Stack) -> None:
    before = victim.pids["redis"]
    with no_read_fails(victim):
        os.kill(before, signal.SIGKILL)
        wait_until(
            lambda: pid_of(victim, "redis") not in (None, before) and pings(victim),
            timeout_s=30,
            what="another Redis answers",
        )
        assert create(victim, "Written after Redis came back").status == 201
        wait_agreed(victim)
