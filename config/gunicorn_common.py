"""What the gunicorn files of both pools share."""

import os
import resource
import shutil
from pathlib import Path
from typing import Any

from config import env
from config.succession import Succession

# gunicorn's heartbeats are file changes: on a disk they may wait for somebody else's sync.
HEARTBEAT_DIR = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def address(port: str) -> str:
    """Where a pool listens, by the name of its port's variable. VariableError with everything in
    the environment that is wrong.
    """
    env.check()
    return f"{env.value('BIND_HOST')}:{env.value(port)}"


def prepare_pool(pool: str) -> None:
    """Tell prometheus-client where the workers of `pool` keep their metrics.

    It looks at the environment, once, when it is first imported, and nowhere else; so this comes
    before everything that imports it.
    """
    _metrics_dir(pool).mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_metrics_dir(pool))


def begin_pool(pool: str) -> None:
    """Before the first worker: forget an earlier start, whose counts would be added to ours."""
    shutil.rmtree(_metrics_dir(pool), ignore_errors=True)
    _metrics_dir(pool).mkdir(parents=True)
    Succession(env.run_dir(), pool).begin()
    _raise_file_limit()


def replace_workers(pool: str, server: Any) -> None:
    """Before all workers are replaced."""
    Succession(env.run_dir(), pool).announce(server.cfg.workers)


def boot_worker(pool: str) -> None:
    """In a new worker, right after the fork."""
    Succession(env.run_dir(), pool).boot()


def forget_worker(pool: str, worker: Any) -> None:
    """After a worker is gone: keep what it has counted, drop its gauges."""
    forget_process(pool, worker.pid)
    Succession(env.run_dir(), pool).forget(worker.pid)


def forget_process(pool: str, pid: int) -> None:
    """The same of any process that keeps metrics with the pool."""
    # Not at the top: see `prepare_pool`.
    from runtime.metric_files import fold

    fold(pid, _metrics_dir(pool))


def _metrics_dir(pool: str) -> Path:
    return env.run_dir() / f"metrics-{pool}"


def _raise_file_limit() -> None:
    """Allow as many connections as the host lets us have; the usual soft limit is 1 024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
