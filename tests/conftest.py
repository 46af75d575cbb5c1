"""Fixtures for every test. The suite's stores are started by `tests/support/plugin.py`."""

from collections.abc import Iterator

import pytest
from _pytest.nodeid import coerce_node_id

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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the users of the shared stack on one worker: it is started once, not once a worker."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("stack"))
        if config.getoption("loadgroup", default=False):
            _name_after_group(item)


def _name_after_group(item: pytest.Item) -> None:
    """What xdist does for `--dist loadgroup`, in the way that pytest 9.2 understands."""
    groups = sorted({str(mark.args[0]) for mark in item.iter_markers("xdist_group")})
    if groups and "@" not in item.nodeid.rpartition("]")[2]:
        item._id = coerce_node_id(f"{item.nodeid}@{'_'.join(groups)}")
