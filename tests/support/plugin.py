"""Gives the suite its own throw-away PostgreSQL and Redis before Django's settings are read.

Loaded by `-p` in pyproject.toml, because pytest-django reads the settings before any conftest.
Under xdist one pair of servers serves all workers: each has its own database (made by Django) and
its own Redis database. The servers' lives hang on this process: they end with it, however it ends.
The product's variables of the engineer's shell are not seen: tests delete what they find in a
store, and mean the defaults.
"""

import os
from pathlib import Path

import pytest

from config import env
from tests.support.stores import Stores

_WORKER = "PYTEST_XDIST_WORKER"
_stores_key = pytest.StashKey[Stores]()


def redis_database(worker: str) -> int:
    """The Redis database of an xdist worker `gw<n>`, above the one of a run without xdist."""
    return int(worker.removeprefix("gw")) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start the stores, or in an xdist worker take those of the controller."""
    worker = os.environ.get(_WORKER)
    if worker is not None:
        base, _, _ = os.environ["REDIS_URL"].rpartition("/")
        os.environ["REDIS_URL"] = f"{base}/{redis_database(worker)}"
        _use_data_directory(Path(os.environ["DATA_DIR"]) / worker)
        return
    for name in ("DJANGO_SETTINGS_MODULE", *env.VARIABLES):
        os.environ.pop(name, None)
    stores = Stores(durable=False)
    stores.start()
    early_config.stash[_stores_key] = stores
    early_config.add_cleanup(stores.stop)
    os.environ["DATABASE_URL"] = stores.database_url
    os.environ["REDIS_URL"] = stores.redis_url
    _use_data_directory(stores.directory / "state")


def _use_data_directory(path: Path) -> None:
    """Keep the suite away from the engineer's own DATA_DIR."""
    path.mkdir(parents=True, exist_ok=True)
    os.environ["DATA_DIR"] = str(path)
