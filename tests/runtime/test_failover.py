"""A real Cluster and real Sentinels: ingest goes on behind a master that died."""

import os
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings

from runtime.stream import stream_key
from tests.runtime.load import CLIENTS, Draining, Load, assert_true_answers
from tests.runtime.streams import Sink, new_sink
from tests.support.redises import ClusterRedis, SentinelRedis
from tests.support.stack import wait_until

# Of this process: whoever drains a stream keeps others from one of the same name.
NAME = f"failover{os.getpid()}"
KEY = stream_key(NAME, 0)
Servers = SentinelRedis | ClusterRedis


@pytest.fixture
def sink() -> Iterator[Sink]:
    yield from new_sink(settings.DATABASE_URL)


@pytest.fixture(params=[SentinelRedis, lambda: ClusterRedis(KEY)], ids=["sentinel", "cluster"])
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    start: Callable[[], Servers] = request.param
    with start() as running:
        yield running


def more(load: Load, count: int = 200) -> None:
    enough = len(load.accepted) + count
    wait_until(lambda: len(load.accepted) >= enough, timeout_s=30, what="more was accepted")


def test_nothing_acknowledged_is_lost_that_the_replica_had(servers: Servers, sink: Sink) -> None:
    # The first part waits in the stream of the master that dies: nothing has drained it yet.
    with Load(servers.url, sink, name=NAME, prefix="first ") as first:
        more(first)
    servers.wait_replicated(servers.master)
    servers.kill(servers.master)
    with (
        Load(servers.url, sink, name=NAME, prefix="then ", deadline_s=20.0) as then,
        Draining(servers.url, sink, name=NAME),
    ):
        more(then)
    assert_true_answers(sink, servers.url, first, then, name=NAME)


@pytest.mark.drill
def test_a_master_that_dies_under_load(servers: Servers, sink: Sink) -> None:
    """What was on its way to the replica may be lost; nothing else, and nothing is doubled."""
    with (
        Draining(servers.url, sink, name=NAME) as draining,
        Load(servers.url, sink, name=NAME, deadline_s=20.0) as load,
    ):
        more(load)
        servers.kill(servers.master)
        more(load)
    assert draining.errors > 0
    assert_true_answers(sink, servers.url, load, name=NAME, lost=2 * CLIENTS)
