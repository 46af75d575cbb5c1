"""The same rules with the measurements in kdb+: a product of its own, over chili."""

from collections.abc import Iterator

import pytest

from tests.contract.test_timeseries import (
    client,
    many,
    now_ns,
    tag,
    test_a_message_is_saved_and_seen,
    test_an_unknown_tag,
    test_export,
    test_grafana,
    test_samples_are_those_of_the_reference,
    test_the_last_before_the_interval_counts,
    test_the_later_one_wins,
)
from tests.support.stack import Stack
from tests.timeseries.chili import Chili

# Imported tests and fixtures run here over the `stack` of this module.
__all__ = [
    "client",
    "many",
    "now_ns",
    "tag",
    "test_a_message_is_saved_and_seen",
    "test_an_unknown_tag",
    "test_export",
    "test_grafana",
    "test_samples_are_those_of_the_reference",
    "test_the_last_before_the_interval_counts",
    "test_the_later_one_wins",
]

pytestmark = pytest.mark.xdist_group("contract-kdb")


@pytest.fixture(scope="module")
def chili() -> Iterator[Chili]:
    chili = Chili()
    try:
        chili.start()
        chili.init()
        yield chili
    finally:
        chili.stop()


@pytest.fixture(scope="module")
def stack(chili: Chili) -> Iterator[Stack]:
    environment = {"TIMESERIES_STORE": "kdb", "KDB_URL": chili.url, "WEB_CONCURRENCY": "1"}
    with Stack(environment) as running:
        yield running


def test_readyz_shows_a_kdb_that_is_away(client, chili):
    assert client.get("/readyz").json()["timeseries"]["store"] == "kdb"
    chili.pause()
    try:
        answer = client.get("/readyz")
    finally:
        chili.resume()
    assert answer.status_code == 503
    assert "kdb: does not answer questions" in answer.json()["msg"]
