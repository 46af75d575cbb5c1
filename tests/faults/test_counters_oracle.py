"""The oracle: while clients send, everything is killed; afterwards every increment that was
accepted is in its total exactly once.
"""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from devstack.programs import ROOT
from tests.faults.counting import Crowd, Journal, assert_exact, new_keys, wait_drained
from tests.faults.support import database, family, pid_of, wait_agreed
from tests.support.stack import Stack, wait_until

pytestmark = pytest.mark.xdist_group("faults")

CLIENTS = 64
KEYS = 1000
DEADLY_POINTS = ("read", "inside", "committed", "trimmed")
# Each round of the default suite takes some of the victims, all three together every one.
SHORT_ROUNDS = (("api worker", "drainer"), ("redis",), ("postgres", "drain task"))
DRILL_ROUNDS = 50
DRILL_KILLS = 12
DRAINER_TRIES = 5


@pytest.fixture
def counted(running: Stack) -> Iterator[Stack]:
    """The stack with its streams empty; whole again afterwards."""
    wait_drained(running)
    yield running
    wait_drained(running)
    wait_agreed(running)


def drainer(stack: Stack, point: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.drainer", point],
        cwd=ROOT,
        env={**stack.environment, "DJANGO_SETTINGS_MODULE": "config.settings.local"},
        stdout=subprocess.PIPE,
        text=True,
    )


def kill_drainers(stack: Stack, points: tuple[str, ...] = DEADLY_POINTS) -> None:
    """Drainers that die at the points; between them Celery's go on where they ended. One that comes
    through, because a store was just away or others took all there was, is sent again.
    """
    for _ in range(DRAINER_TRIES):
        doomed = {point: drainer(stack, point) for point in points}
        told = {point: process.communicate(timeout=60)[0] for point, process in doomed.items()}
        points = tuple(p for p in points if doomed[p].returncode != -signal.SIGKILL)
        if not points:
            return
    raise AssertionError(f"these did not die: { {point: told[point] for point in points} }")


def kill_child(stack: Stack, name: str, rng: random.Random) -> None:
    children = [each for each in family(stack.pids[name])[1:] if each.is_running()]
    if children:
        rng.choice(children).kill()


def kill_store(stack: Stack, name: str) -> None:
    before = stack.pids[name]
    os.kill(before, signal.SIGKILL)
    wait_until(
        lambda: pid_of(stack, name) not in (None, before),
        # Whoever dies again soon after its start is started later and later.
        timeout_s=90,
        what=f"{name} was started again",
    )


def kill(stack: Stack, victim: str, rng: random.Random) -> None:
    if victim == "api worker":
        kill_child(stack, "api", rng)
    elif victim == "drain task":
        kill_child(stack, "worker", rng)
    elif victim == "drainer":
        kill_drainers(stack)
    else:
        kill_store(stack, victim)


def goes_on(crowd: Crowd, stack: Stack) -> None:
    """Wait until increments are accepted again, and counted."""
    before = crowd.accepted
    wait_until(lambda: crowd.accepted > before, timeout_s=60, what="increments are accepted")


def test_short_rounds(counted: Stack) -> None:
    keys, journal = new_keys(KEYS), Journal()
    for number, victims in enumerate(SHORT_ROUNDS):
        rng = random.Random(number)
        crowd = Crowd(counted, keys, clients=CLIENTS, seed=number)
        with crowd:
            goes_on(crowd, counted)
            for victim in victims:
                kill(counted, victim, rng)
                goes_on(crowd, counted)
        journal += crowd.journal
    assert_exact(counted, keys, journal)
    assert sum(journal.accepted.values()) > 0


@pytest.mark.drill
@pytest.mark.parametrize("seed", range(DRILL_ROUNDS))
def test_long_rounds(counted: Stack, seed: int) -> None:
    rng = random.Random(seed)
    keys = new_keys(KEYS)
    crowd = Crowd(counted, keys, clients=CLIENTS, seed=seed)
    with crowd:
        for _ in range(DRILL_KILLS):
            goes_on(crowd, counted)
            kill(
                counted,
                rng.choice(["api worker", "drain task", "drainer", "redis", "postgres"]),
                rng,
            )
        goes_on(crowd, counted)
    assert_exact(counted, keys, crowd.journal)


def test_a_drainer_that_slept_past_its_lock_changes_nothing(counted: Stack) -> None:
    keys = new_keys(10)
    sleeper = drainer(counted, "stopped")
    crowd = Crowd(counted, keys, clients=4, seed=1)
    with crowd:
        stopped = psutil.Process(sleeper.pid)
        wait_until(
            lambda: stopped.status() == psutil.STATUS_STOPPED, timeout_s=30, what="it stands still"
        )
        before = totals_known(counted, keys)
        # Its transaction is ended by PostgreSQL, its entries are applied by another.
        wait_until(
            lambda: totals_known(counted, keys) > before, timeout_s=30, what="another took over"
        )
    sleeper.send_signal(signal.SIGCONT)
    out, _ = sleeper.communicate(timeout=30)
    assert out.startswith("failed"), out
    assert_exact(counted, keys, crowd.journal)


def totals_known(stack: Stack, keys: list[str]) -> int:
    with database(stack) as connection:
        row = connection.execute(
            "SELECT coalesce(sum(value), 0)::bigint FROM counters_counter"
            " WHERE key = ANY(%s::uuid[])",
            (keys,),
        ).fetchone()
    assert row is not None
    return int(row[0])
