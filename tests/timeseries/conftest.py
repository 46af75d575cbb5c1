"""The stores, each started for real and shared by the tests of one worker."""

from collections.abc import Iterator

import pytest
from psycopg_pool import AsyncConnectionPool

from commons import connecting
from runtime.drain import DrainLimits
from tests.timeseries.chili import Chili
from tests.timeseries.store_cases import StoreUnderTest, open_store
from timeseries.stores.kdb import KdbReader, KdbWriter
from timeseries.stores.memory import Memory, MemoryReader, MemoryWriter
from timeseries.stores.postgres import PostgresWriter
from timeseries.stores.postgres_reader import PostgresReader

LIMITS = DrainLimits(entries=5)


@pytest.fixture(scope="session")
def memory_store() -> Iterator[StoreUnderTest]:
    memory = Memory()
    writer, reader = MemoryWriter(memory, limits=LIMITS), MemoryReader(memory)
    yield from open_store("memory", writer, reader)


@pytest.fixture(scope="session")
def postgres_store(django_db_setup, django_db_blocker) -> Iterator[StoreUnderTest]:
    with django_db_blocker.unblock(), connecting.connect() as connection:
        conninfo = f"{connection.info.dsn} password={connection.info.password}"
    writer = PostgresWriter(
        connect=connecting.connect, oldest_ns=lambda: 3_600_000_000_000, limits=LIMITS
    )
    pool = AsyncConnectionPool(
        conninfo, min_size=0, max_size=2, kwargs={"autocommit": True}, open=False
    )
    reader = PostgresReader(pool, limit_s=10)
    with django_db_blocker.unblock():
        for store in open_store("postgres", writer, reader):
            store.runner.run(pool.open())
            yield store


@pytest.fixture(scope="session")
def chili() -> Iterator[Chili]:
    """A server that speaks kdb+'s protocol, with a log, empty but for the product's functions."""
    with Chili(logged=True) as running:
        running.init()
        yield running


@pytest.fixture(scope="session")
def kdb_store(chili: Chili) -> Iterator[StoreUnderTest]:
    writer = KdbWriter([chili.url], limits=LIMITS)
    yield from open_store("kdb", writer, KdbReader(chili.url, limit_s=10))


@pytest.fixture(scope="session", params=["memory", "postgres", "kdb"])
def store(request: pytest.FixtureRequest) -> StoreUnderTest:
    """Each of the stores in turn: they pass the same tests."""
    found: StoreUnderTest = request.getfixturevalue(f"{request.param}_store")
    return found
