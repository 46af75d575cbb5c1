"""Fixtures for every test. The suite's stores are started by `tests/support/plugin.py`."""

from collections.abc import Iterator

import pytest

from tests.support.stack import Stack
from tests.support.stores import Stores


@pytest.fixture
def stores() -> Iterator[Stores]:
    """A durable PostgreSQL and Redis of this test's own, to pause, kill and start again."""
    with Stores() as running:
        yield running


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The whole product, running, shared by the tests of one worker: leave it as it was."""
    with Stack() as running:
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the users of the shared stack on one worker: it is started once, not once a worker."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("stack"))
