"""What a web worker runs beside its server: it starts without PostgreSQL, and warms later."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connections

from adserver import services
from adserver.fastpath import AdLookup
from adserver.index import CatalogIndex
from commons import connecting
from config import env, health, wiring
from runtime.board import read_board
from tests.adserver.support import ACTOR, connect, fields
from tests.support.stack import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


class Process:
    """What a worker has in its process: its index, and a database, or not."""

    def __init__(self) -> None:
        self.database_away = False
        self.index = CatalogIndex()
        self.asked = AdLookup(self.index)

    def connect(self) -> psycopg.Connection[Any]:
        if self.database_away:
            raise psycopg.OperationalError("connection refused")
        return connect()


@pytest.fixture
def process(monkeypatch, tmp_path) -> Process:
    """A process of its own, as far as a worker can tell."""
    process = Process()
    monkeypatch.setenv("RUN_DIR", str(tmp_path))
    monkeypatch.setenv("CATALOG_POLL_S", "0.05")
    monkeypatch.setattr(wiring, "connect", process.connect)
    monkeypatch.setattr(wiring, "process_index", process.index)
    monkeypatch.setattr(wiring, "_running", [])
    return process


@contextmanager
def started(pool: str) -> Iterator[wiring.Worker]:
    """A worker of the pool, which leaves the board at the end."""
    worker = wiring.start(pool)
    try:
        yield worker
    finally:
        worker.stop()
    assert read_board(env.run_dir() / "workers") == []


def entry() -> dict[str, Any]:
    (only,) = read_board(env.run_dir() / "workers")
    return only


def readiness() -> tuple[int, dict[str, Any]]:
    answer = health.readyz()
    return answer.status, json.loads(answer.body)


@pytest.mark.parametrize("pool", ["api", "edge"])
def test_a_started_worker_is_warm_on_the_board_and_ready(pool: str, process: Process) -> None:
    with started(pool) as worker:
        assert worker.replica.warm.is_set()
        assert wiring.current() is worker
        assert process.asked(b"").status == 200
        assert readiness()[0] == 200
        ad = services.ad_create(fields=fields(), actor=ACTOR)
        wait_until(lambda: entry()["version"] == ad.version, timeout_s=60, what="on the board")
        version, digest, open_ads, _ = worker.replica.index.state()
        assert (entry()["version"], entry()["hash"]) == (version, digest)
        assert (entry()["pool"], entry()["open_ads"]) == (pool, open_ads)


@pytest.mark.parametrize("pool", ["api", "edge"])
def test_without_a_database_it_answers_503_and_warms_by_itself(pool: str, process: Process) -> None:
    ad = services.ad_create(fields=fields(), actor=ACTOR)
    process.database_away = True
    with started(pool) as worker:
        refused = process.asked(b"")
        assert refused.status == 503
        assert dict(refused.headers)[b"retry-after"]
        status, body = readiness()
        assert (status, body["msg"]) == (503, "catalog: is not loaded yet")
        assert entry()["version"] is None
        process.database_away = False
        assert worker.replica.warm.wait(60)
        wait_until(lambda: entry()["version"] == ad.version, timeout_s=60, what="on the board")
        assert process.asked(b"").status == 200
        # Warm a moment before the look that made it so is over.
        wait_until(lambda: readiness()[0] == 200, timeout_s=60, what="ready")


def test_its_connection_keeps_the_options_of_the_database_url(monkeypatch) -> None:
    options = connections["default"].settings_dict["OPTIONS"]
    monkeypatch.setitem(options, "options", "-c search_path=pg_catalog")
    with connecting.connect() as connection:
        row = connection.execute(
            "SELECT current_setting('search_path'), current_setting('TimeZone')"
        )
        assert row.fetchone() == ("pg_catalog", "UTC")


def test_its_connection_notices_a_host_that_vanished_also_under_a_query() -> None:
    with connecting.connect() as connection:
        parameters = connection.info.get_parameters()
    probing_s = sum(
        int(parameters[f"keepalives_{name}"]) * times
        for name, times in (("idle", 1), ("interval", int(parameters["keepalives_count"])))
    )
    assert probing_s <= 15
    assert int(parameters["tcp_user_timeout"]) <= 15_000
