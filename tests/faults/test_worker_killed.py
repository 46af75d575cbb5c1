"""A web worker dies by `kill -9`: gunicorn starts another, which warms and agrees."""

import os
import signal

import pytest

from tests.faults.support import Readers, board, killed, pid_of, wait_agreed, wait_written
from tests.support.stack import Stack, wait_until

pytestmark = pytest.mark.xdist_group("faults")


def workers_of(stack: Stack, pool: str) -> set[int]:
    """The process ids of a pool's workers."""
    return {worker["pid"] for worker in board(stack) if worker["pool"] == pool}


@pytest.mark.parametrize("pool", ["api", "edge"])
def test_a_worker_is_killed(pool: str, victim: Stack) -> None:
    killed_pid = workers_of(victim, pool).pop()
    other = victim.port if pool == "edge" else victim.edge_port
    with Readers(other) as readers:
        os.kill(killed_pid, signal.SIGKILL)
        wait_written(victim, f"Written while {pool} lacks a worker")

        def replaced() -> bool:
            pids = workers_of(victim, pool)
            return len(pids) == 2 and killed_pid not in pids

        wait_until(replaced, timeout_s=30, what="another worker has come")
        wait_agreed(victim)
    assert readers.failures == []


@pytest.mark.parametrize("pool", ["api", "edge"])
def test_a_worker_that_starts_without_postgres_warms_when_it_is_back(
    pool: str, victim: Stack
) -> None:
    other = victim.port if pool == "edge" else victim.edge_port
    with Readers(other) as readers, killed(victim, "postgres"):
        os.kill(workers_of(victim, pool).pop(), signal.SIGKILL)

        def cold() -> bool:
            entries = [worker for worker in board(victim) if worker["pool"] == pool]
            return len(entries) == 2 and any(worker["version"] is None for worker in entries)

        wait_until(cold, timeout_s=30, what="a worker that holds nothing yet is on the board")
    assert readers.failures == []
    wait_agreed(victim)


@pytest.mark.parametrize("pool", ["api", "edge"])
def test_a_pool_is_killed(pool: str, victim: Stack) -> None:
    before, orphans = victim.pids[pool], workers_of(victim, pool)
    os.kill(before, signal.SIGKILL)
    wait_until(
        lambda: pid_of(victim, pool) not in (None, before),
        timeout_s=60,
        what="the pool was started again",
    )

    def replaced() -> bool:
        pids = workers_of(victim, pool)
        return len(pids) == 2 and not pids & orphans

    # The old ones stay on the board for a moment, and look like a whole pool.
    wait_until(replaced, timeout_s=60, what="other workers have come")
    wait_agreed(victim)
