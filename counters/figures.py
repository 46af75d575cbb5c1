"""What drains have done, counted in the cache's Redis, where every process can read it.

Drains run in processes that serve no HTTP and may be on other hosts; the api shows these figures
on `/metrics`. They are for watching: a crash between a commit and this may leave one out.
"""

from typing import Any

import redis

FIGURES_KEY = "adhouse:counters:figures"
NAMES = ("applied", "repeated", "dead", "different", "delayed")


def add_figures(client: Any, **figures: int) -> None:
    """Add to the figures; a Redis that is away loses them."""
    pipeline = client.pipeline(transaction=False)
    for name, count in figures.items():
        if count:
            pipeline.hincrby(FIGURES_KEY, name, count)
    try:
        pipeline.execute()
    except (redis.RedisError, OSError):
        return


def read_figures(client: Any) -> dict[str, int]:
    """Every figure; those that were never added to are 0. redis.RedisError when it is away."""
    raw = client.hgetall(FIGURES_KEY)
    return {name: int(raw.get(name.encode(), 0)) for name in NAMES}
