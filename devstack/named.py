"""Stores that the engineer has named: whether they can be used is told before anything starts."""

from contextlib import suppress

import psycopg
import redis

from devstack.errors import StackError
from devstack.options import Options
from runtime.redis_where import open_redis

_TIMEOUT_S = 3.0


def check_named_stores(options: Options) -> None:
    """StackError naming the variable, when a store that was named does not answer."""
    if options.database_url:
        _check_postgres(options.database_url)
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


def _check_postgres(url: str) -> None:
    # Django knows options that libpq does not: what is wrong with one, the migrations say.
    with suppress(psycopg.ProgrammingError):
        try:
            psycopg.connect(url, connect_timeout=int(_TIMEOUT_S)).close()
        except psycopg.OperationalError as error:
            words = " ".join(str(error).split())
            raise StackError(f"DATABASE_URL: PostgreSQL cannot be used: {words}") from error
