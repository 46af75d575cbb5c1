"""Measurements on chili under faults: what was acknowledged is in the answers once."""

from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import pytest

from tests.faults.measuring import count_of, kill_rounds
from tests.support.stack import Stack
from tests.timeseries.chili import Chili

pytestmark = pytest.mark.xdist_group("faults")


class Running(NamedTuple):
    stack: Stack
    chili: Chili


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """The product with its measurements on a chili that has a log."""
    with Chili(logged=True) as chili:
        chili.init()
        environment = {"WEB_CONCURRENCY": "1", "TIMESERIES_STORE": "kdb", "KDB_URL": chili.url}
        with Stack(environment) as stack:
            yield Running(stack, chili)


def kill(running: Running, names: tuple[str, ...], rounds: int, seed: int) -> None:
    beside = {"chili": running.chili.again}
    senders = kill_rounds(running.stack, names, rounds, seed, beside)
    # The answers would not show what is stored twice: of equal times the last one counts.
    with closing(running.chili.link()) as link:
        rows = link.call(".ts.size", senders.tag, -1, 2**63 - 1)
    assert rows == count_of(running.stack, senders.tag)


def test_chili_and_writer_are_killed(running: Running) -> None:
    kill(running, ("chili", "writer", "chili"), rounds=3, seed=3)


@pytest.mark.drill
def test_fifty_kills(running: Running) -> None:
    kill(running, ("chili", "writer", "chili", "redis", "chili", "postgres"), rounds=50, seed=4)
