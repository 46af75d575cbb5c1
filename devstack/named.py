"""Stores that the engineer has named: whether they can be used is told before anything starts."""

import redis

from devstack.errors import StackError
from devstack.options import Options
from runtime.redis_where import open_redis

_TIMEOUT_S = 3.0


def check_named_redis(options: Options) -> None:
    """StackError naming the variable, when a Redis that was named does not answer.

    A PostgreSQL that was named is tried by `manage.py prepare`, which says what is wrong with it.
    """
    named = {"REDIS_URL": options.redis_url, "CACHE_REDIS_URL": options.cache_redis_url}
    for name, url in named.items():
        if not url:
            continue
        try:
            client = open_redis(url, timeout_s=_TIMEOUT_S)
            try:
                client.ping()
            finally:
                client.close()
        except (redis.RedisError, OSError, ValueError) as error:
            raise StackError(f"{name}: Redis cannot be used: {error}") from error
