"""One running product for all tests of this room, an operator's client, and the two doors."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import plain_http
from tests.support.stack import Stack, wait_until

# Generous on purpose: how fast a write is seen is measured by the benchmarks, not asserted here.
VISIBLE_TIMEOUT_S = 20.0
PORTS = ("api", "edge")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what only the drill runs and takes long to read."""
    long = collection_path.name == "test_schema_at_length.py"
    return True if long and config.option.markexpr == "not drill" else None


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    with Stack({"WEB_CONCURRENCY": "2"}) as running:
        yield running


@pytest.fixture(scope="package")
def operator(stack: Stack) -> Iterator[httpx.Client]:
    """A client of the api pool with the operator's token."""
    headers = {"authorization": f"Token {stack.operator['token']}"}
    with plain_http.Client(base_url=stack.url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture(params=PORTS)
def door(request: pytest.FixtureRequest, stack: Stack) -> Iterator[httpx.Client]:
    """A visitor's client, once of each pool."""
    with plain_http.Client(base_url=url_of(stack, request.param), timeout=30) as client:
        yield client


def url_of(stack: Stack, port: str) -> str:
    return stack.edge_url if port == "edge" else stack.url


def board(stack: Stack) -> list[dict[str, Any]]:
    """What every worker of both pools holds."""
    workers: list[dict[str, Any]] = plain_http.get(f"{stack.url}/readyz").json()["workers"]
    return workers


def wait_visible(stack: Stack, answer: httpx.Response) -> None:
    """Wait until every worker of both pools holds the write that was answered so."""
    version = int(answer.headers["x-catalog-version"])

    def everywhere() -> bool:
        workers = board(stack)
        pools = [worker["pool"] for worker in workers]
        return sorted(pools) == ["api", "api", "edge", "edge"] and all(
            worker["version"] >= version for worker in workers
        )

    wait_until(everywhere, timeout_s=VISIBLE_TIMEOUT_S, what=f"version {version} on all workers")


@pytest.fixture
def empty_catalog(stack: Stack, operator: httpx.Client) -> None:
    """No ads, seen by every worker."""
    while ads := operator.get("/api/v1/ads/", params={"page_size": 1000}).json()["results"]:
        for ad in ads:
            last = operator.delete(f"/api/v1/ads/{ad['id']}/")
            assert last.status_code == 204
        wait_visible(stack, last)


@pytest.fixture
def add(
    stack: Stack, operator: httpx.Client, empty_catalog: None
) -> Callable[..., list[dict[str, Any]]]:
    """Adds ads to an empty catalog, and waits until all workers have them; gives them back."""

    def import_ads(*bodies: dict[str, Any]) -> list[dict[str, Any]]:
        answer = operator.post("/api/v1/ads/import/", json=list(bodies))
        assert answer.status_code == 201, answer.text
        wait_visible(stack, answer)
        return [operator.get(f"/api/v1/ads/{ad_id}/").json() for ad_id in answer.json()["ids"]]

    return import_ads
