"""Every rule of the time series over HTTP again, with the measurements kept in kdb+."""

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.contract import test_timeseries as rules
from tests.contract.test_timeseries import *  # noqa: F403
from tests.support.stack import Stack
from tests.timeseries.chili import Chili

pytestmark = pytest.mark.xdist_group("contract-kdb")

# What does not depend on where measurements are kept, and takes long.
del test_producer_and_clients  # noqa: F821


@pytest.fixture(scope="module")
def chili() -> Iterator[Chili]:
    with Chili() as chili:
        chili.init()
        yield chili


@pytest.fixture(scope="module")
def stack(chili: Chili) -> Iterator[Stack]:
    """The whole product, over a server that speaks kdb+'s protocol."""
    environment = {
        "TIMESERIES_STORE": "kdb",
        "KDB_URL": chili.url,
        "TIMESERIES_READ_S": "2",
        "WEB_CONCURRENCY": "1",
    }
    with Stack(environment=environment) as running:
        yield running


def test_readyz_and_metrics_show_the_lag(  # type: ignore[no-redef]
    client: httpx.Client,
) -> None:
    state = client.get("/readyz").json()["timeseries"]
    assert state["store"] == "kdb"
    assert "timeseries_lag_seconds" in client.get("/metrics").text


def test_a_kdb_that_is_away_delays_and_loses_nothing(
    client: httpx.Client, chili: Chili, tag: str
) -> None:
    now_ns = time.time_ns()
    rules.save(client, rules.message(tag, now_ns, 1.0))
    rules.wait_count(client, tag, 1)
    chili.pause()
    try:
        rules.save(client, rules.message(tag, now_ns + 1, 2.0))
        answer = rules.ask(client, tag, now_ns - 10, now_ns + 10, samples=1)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert "kdb: does not answer questions" in ready.json()["msg"]
    finally:
        chili.resume()
    rules.wait_count(client, tag, 2)
