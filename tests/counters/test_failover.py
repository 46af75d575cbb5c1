"""The drain of the counters on a real Cluster and behind real Sentinels, over a failover."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.conf import settings

from counters.drain import ShardDrain
from counters.payload import encode_payload
from counters.records import Increment
from counters.totals import TotalsCache, streams
from runtime.redis_where import open_redis
from runtime.stream import Appender
from tests.counters.support import A, stored
from tests.support.redises import ClusterRedis, SentinelRedis
from tests.support.stack import wait_until

# The mechanism has its own such test; this one is about what the counters add to it.
pytestmark = pytest.mark.drill

Servers = SentinelRedis | ClusterRedis


@pytest.fixture(
    params=[SentinelRedis, lambda: ClusterRedis(streams()[0])], ids=["sentinel", "cluster"]
)
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    start: Callable[[], Servers] = request.param
    with start() as running:
        yield running


def test_what_was_replicated_counts_behind_the_new_master(server, servers: Servers) -> None:
    client: Any = open_redis(servers.url)
    drain = ShardDrain(0, client=client, cache=TotalsCache(settings.CACHE_REDIS_URL))
    appender = Appender(client, drain.stream.key)
    appender.append(encode_payload([Increment(A, 1)]))
    assert drain.run().increments == 1
    appender.append(encode_payload([Increment(A, 2)]))
    servers.wait_replicated(servers.master)
    servers.kill(servers.master)
    appender.append(encode_payload([Increment(A, 4)]))

    def drained() -> bool:
        try:
            return not drain.run().more and stored() == {A: 7}
        except redis.RedisError:
            return False

    wait_until(drained, timeout_s=30, what="all of it is counted")
    [mark] = drain._cache.read([]).marks.values()
    assert abs(mark.until_ms / 1000 - time.time()) < 60
    drain.close()
    client.close()
