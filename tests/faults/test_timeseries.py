"""Measurements under faults: what was acknowledged is in the answers once, what was refused is
not, and the lag recovers by itself.
"""

import signal
import subprocess
import sys

import pytest

from devstack.programs import ROOT
from tests.faults.doomed_writer import POINTS
from tests.faults.measuring import (
    LAG_MOST_S,
    RECOVERED_TIMEOUT_S,
    kill_rounds,
    nothing_is_lost,
    state,
)
from tests.faults.support import killed
from tests.support.stack import wait_until

pytestmark = pytest.mark.xdist_group("faults")


@pytest.mark.parametrize("point", POINTS)
def test_a_writer_dies(victim, point):
    with nothing_is_lost(victim), killed(victim, "writer"):
        environment = {**victim.environment, "DJANGO_SETTINGS_MODULE": "config.settings.local"}
        doomed = subprocess.run(
            [sys.executable, "-m", "tests.faults.doomed_writer", point],
            cwd=ROOT,
            env=environment,
            check=False,
        )
        assert doomed.returncode == -signal.SIGKILL


def test_stores_and_writer_are_killed(victim):
    kill_rounds(victim, ("postgres", "redis", "writer"), rounds=3, seed=1)


@pytest.mark.drill
def test_fifty_kills(victim):
    # In turns: who dies again soon after its start is started later and later.
    kill_rounds(victim, ("writer", "postgres", "redis", "api"), rounds=50, seed=2)


def test_a_writer_that_is_away_only_delays(victim):
    with nothing_is_lost(victim) as senders, killed(victim, "writer"):
        senders.wait_acknowledged(100)
        wait_until(
            lambda: (state(victim).get("lag_s") or 0) > LAG_MOST_S,
            timeout_s=RECOVERED_TIMEOUT_S,
            what="the lag shows on /readyz",
        )
