"""Gives the suite its own throw-away PostgreSQL and Redis before Django's settings are read.

Loaded by `-p` in pyproject.toml, because pytest-django reads the settings before any conftest.
Under xdist one PostgreSQL serves all workers, each with its own database (made by Django), and each
has its own Redis: tests flush it, its scripts and its subscribers. The servers' lives hang on the
process that started them: they end with it, however it ends.
The product's variables of the engineer's shell are not seen: tests delete what they find in a
store, and mean the defaults.
"""

import os
from pathlib import Path

import pytest

from config import env
from devstack.programs import Child
from devstack.redis import Redis
from tests.support.stores import START_TIMEOUT_S, STOP_GRACE_S, Stores

_WORKER = "PYTEST_XDIST_WORKER"
_stores_key = pytest.StashKey[Stores]()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start the stores, or in an xdist worker take those of the controller."""
    worker = os.environ.get(_WORKER)
    if worker is not None:
        directory = Path(os.environ["DATA_DIR"]) / worker
        _use_data_directory(directory)
        _start_redis(directory / "redis", early_config)
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


def _start_redis(directory: Path, config: pytest.Config) -> None:
    redis = Redis(directory, durable=False)
    redis.prepare()
    child = Child(redis.program(), log_directory=directory / "logs")
    child.start()
    config.add_cleanup(lambda: child.stop(STOP_GRACE_S))
    child.wait_ready(START_TIMEOUT_S)
    os.environ["REDIS_URL"] = redis.url


def _use_data_directory(path: Path) -> None:
    """Keep the suite away from the engineer's own DATA_DIR."""
    path.mkdir(parents=True, exist_ok=True)
    os.environ["DATA_DIR"] = str(path)
