"""Fixtures for every test. The suite's stores are started by `tests/support/plugin.py`."""

from collections.abc import Iterator

import pytest

from tests.support.stores import Stores


@pytest.fixture
def stores() -> Iterator[Stores]:
    """A durable PostgreSQL and Redis of this test's own, to pause, kill and start again."""
    with Stores() as running:
        yield running
