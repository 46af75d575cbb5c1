"""A writer dies by `kill -9` between row, log entry, commit and hint: the log is whole, and
every worker of both pools comes to hold what a fresh rebuild has, by itself.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from adserver.services import CATALOG_LOCK
from devstack.programs import ROOT
from tests.faults.support import assert_log_is_whole, database, no_read_fails, wait_agreed
from tests.support.stack import Stack

pytestmark = pytest.mark.xdist_group("faults")

UNCOMMITTED = ("before the log", "after the log", "before the commit")
COMMITTED = ("with the commit", "after the commit", "after the hint")
POINTS = (*UNCOMMITTED, *COMMITTED, "random")


class Writer:
    """Starts writers that die, one after the other."""

    def __init__(self, stack: Stack) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.writer"],
            cwd=ROOT,
            env={**stack.environment, "DJANGO_SETTINGS_MODULE": "config.settings.local"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def die_at(self, point: str, seed: int) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{point} {seed}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        said, _, status = answer.strip().rpartition(" ")
        assert said == f"{point} {seed}", answer
        assert os.WTERMSIG(int(status)) == signal.SIGKILL, answer

    def stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait(60) == 0


@pytest.fixture
def writer(victim: Stack) -> Iterator[Writer]:
    process = Writer(victim)
    yield process
    process.stop()


def settled_version(connection: psycopg.Connection[Any]) -> int:
    """The log's version once no transaction of a dead writer is left."""
    connection.execute("SELECT pg_advisory_lock(%s)", [CATALOG_LOCK])
    connection.execute("SELECT pg_advisory_unlock(%s)", [CATALOG_LOCK])
    row = connection.execute("SELECT coalesce(max(version), 0) FROM adserver_adchange").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("rounds", [2, pytest.param(34, marks=pytest.mark.drill)])
def test_kill_9_at_every_point(rounds: int, victim: Stack, writer: Writer) -> None:
    with database(victim) as connection, no_read_fails(victim):
        for number in range(rounds):
            for point in POINTS:
                before = settled_version(connection)
                writer.die_at(point, number)
                after = settled_version(connection)
                assert after == before or point not in UNCOMMITTED
                assert after > before or point not in COMMITTED
            assert_log_is_whole(victim)
            if number % 5 == 0:
                wait_agreed(victim)
        final = settled_version(connection)
        assert wait_agreed(victim).version >= final


def test_the_log_alone_gives_the_same_catalog(victim: Stack, writer: Writer) -> None:
    writer.die_at("random", 1)
    writer.die_at("after the commit", 2)
    state = wait_agreed(victim)
    from_log = victim.manage("catalog_hash", "--from-log").stdout
    assert from_log.startswith(f"version {state.version} hash {state.hash} ")
