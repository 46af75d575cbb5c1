"""A shard of the counters on the suite's own stores, empty at the start of every test."""

from collections.abc import Iterator

import pytest
import redis
from django.conf import settings
from django.db import connection

from counters import totals
from counters.drain import ShardDrain
from counters.totals import TotalsCache
from tests.counters.support import Shard, execute

TABLES = (
    *("counter", "history", "idempotencykey", "deadletter"),
    *("streamcursor", "streamwriter", "totalspass"),
)


@pytest.fixture
def transactional_db(django_db_setup, django_db_blocker) -> Iterator[None]:
    """The counters' tables, where what is committed stays until the end of the test.

    Takes the place of pytest-django's own, which empties every table of the product: that takes
    ten times as long.
    """
    with django_db_blocker.unblock():
        yield
        execute(f"TRUNCATE {', '.join(f'counters_{name}' for name in TABLES)}")
        connection.close()


@pytest.fixture
def server(transactional_db) -> Iterator[redis.Redis]:
    """The suite's Redis, emptied; the cache of totals looks nowhere else."""
    totals.totals_cache.cache_clear()
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
        yield client
        client.flushdb()
    totals.totals_cache.cache_clear()


@pytest.fixture
def shard(server: redis.Redis) -> Iterator[Shard]:
    """Shard 0: append to it, drain it, look at what became of it."""
    drain = ShardDrain(0, client=server, cache=TotalsCache(settings.CACHE_REDIS_URL))
    yield Shard(server, drain)
    drain.close()
