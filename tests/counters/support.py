"""What the tests of the counters share: a shard to append to and to drain, and what it holds."""

from typing import Any
from uuid import UUID

import redis
from django.db import connection

from counters.drain import Pass, ShardDrain
from counters.models import Counter
from counters.payload import encode_payload
from counters.records import Batch, Increment, Item, Keyed
from runtime.stream import Appender

A, B, C = (UUID(f"{number:032x}") for number in (0xA, 0xB, 0xC))


def keyed(idempotency_key: str, *increments: Increment) -> Keyed:
    return Keyed(idempotency_key, Batch.of(increments))


class Shard:
    """One stream with its drain."""

    def __init__(self, server: redis.Redis, drain: ShardDrain) -> None:
        self.server = server
        self.drain = drain
        self.appender = Appender(server, drain.stream.key)

    def append(self, *items: Item) -> bytes:
        """One entry with these items; gives its id."""
        return self.appender.append(encode_payload(items))

    def append_at(self, at_ms: int, *items: Item) -> None:
        """The same as of another time, later than all before it."""
        fields: dict[Any, Any] = {"w": b"%x" % at_ms, "s": 1}
        self.server.xadd(
            self.drain.stream.key, fields | {"b": encode_payload(items)}, id=f"{at_ms}-0"
        )

    def run(self) -> Pass:
        return self.drain.run()


def stored() -> dict[UUID, int]:
    """Every total in PostgreSQL."""
    return dict(Counter.objects.values_list("key", "value"))


def execute(sql: str) -> None:
    """Run a statement, committed at once."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
