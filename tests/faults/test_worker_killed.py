"""A web worker dies by `kill -9`: gunicorn starts another, which warms and agrees."""

import os
import signal

import pytest

from tests.faults.support import Readers, board, pid_of, wait_agreed, wait_written
from tests.support.stack import Stack, wait_until

pytestmark = pytest.mark.xdist_group("faults")


@pytest.mark.parametrize("pool", ["api", "edge"])
def test_a_worker_is_killed(pool: str, victim: Stack) -> None:
    before = {worker["pid"] for worker in board(victim) if worker["pool"] == pool}
    killed_pid = min(before)
    other = victim.port if pool == "edge" else victim.edge_port
    with Readers(other) as readers:
        os.kill(killed_pid, signal.SIGKILL)
        wait_written(victim, f"Written while {pool} lacks a worker")

        def replaced() -> bool:
            pids = {worker["pid"] for worker in board(victim) if worker["pool"] == pool}
            return len(pids) == 2 and killed_pid not in pids

        wait_until(replaced, timeout_s=30, what="another worker has come")
        wait_agreed(victim)
    assert readers.failures == []


@pytest.mark.parametrize("pool", ["api", "edge"])
def test_a_pool_is_killed(pool: str, victim: Stack) -> None:
    before = victim.pids[pool]
    os.kill(before, signal.SIGKILL)
    wait_until(
        lambda: pid_of(victim, pool) not in (None, before),
        timeout_s=30,
        what="the pool was started again",
    )
    wait_agreed(victim)
