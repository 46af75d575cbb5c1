"""What the tests of the ads share: a follower of the log, ads to write, and a clock to turn."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from django.db import connection

from adserver.index import CatalogIndex
from adserver.models import Ad, record_of
from adserver.records import Actor, AdFields, epoch_us
from adserver.replica import Replica, load_snapshot
from tests.index.reference import Visitor, code_of, expected

ACTOR = Actor("tester")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
VISITORS: list[Visitor] = [
    {},
    {"age": 18},
    {"age": 255},
    {"country": "TW"},
    {"gender": "F"},
    {"platform": "ios"},
    {"age": 25, "country": "JP", "gender": "M", "platform": "web"},
]


def fields(**changes: Any) -> AdFields:
    """An ad that runs from an hour before noon to an hour after it, unless told otherwise."""
    values: dict[str, Any] = {
        "title": "A good title",
        "content": "Words",
        "start_at": NOON - HOUR,
        "end_at": NOON + HOUR,
    }
    return AdFields(**(values | changes))


class NoHints:
    """A replica's hints that never come."""

    connected = False

    def wait(self, timeout_s: float) -> bool:
        return False

    def stop(self) -> None:
        return


def connect() -> psycopg.Connection[Any]:
    """A connection of its own to the test database, as a replica has one."""
    parameters = connection.get_connection_params()
    for name in ("cursor_factory", "context", "pool"):
        parameters.pop(name, None)
    return psycopg.connect(**parameters, autocommit=True, options="-c timezone=UTC")


def forget_everything() -> None:
    """An empty catalog whose log begins at version 1."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE adserver_ad, adserver_adchange")


def epoch_ns(moment: datetime) -> int:
    return epoch_us(moment) * 1000


def fresh_index(clock: Callable[[], int]) -> CatalogIndex:
    """What a worker that starts now loads."""
    index = CatalogIndex(clock)
    with connect() as own:
        load_snapshot(own, index)
    return index


@contextmanager
def following(clock: Callable[[], int]) -> Iterator[Replica]:
    """A warm replica whose `catch_up` the test calls, instead of a thread."""
    with connect() as own:
        replica = Replica(index=CatalogIndex(clock), connect=lambda: own, hints=NoHints())
        replica.catch_up()
        yield replica


def assert_equivalent(index: CatalogIndex, clock: Callable[[], int]) -> None:
    """The index is what a fresh one would be, and answers as a filter over the table does."""
    fresh = fresh_index(clock)
    assert index.state() == fresh.state()
    for visitor in VISITORS:
        assert_answers(index, clock(), visitor, 0, 100)
        assert_answers(fresh, clock(), visitor, 1, 2)


def assert_answers(
    index: CatalogIndex, now_ns: int, visitor: Visitor, offset: int, limit: int
) -> None:
    ads = [record_of(ad) for ad in Ad.objects.all()]
    _, total, page = index.query(code_of(visitor), offset, limit)
    assert (total, page) == expected(
        ads, now_ns=now_ns, visitor=visitor, offset=offset, limit=limit
    )
