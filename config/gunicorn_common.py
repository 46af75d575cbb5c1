"""What the gunicorn files of both pools share."""

import os
import resource
import shutil
from pathlib import Path
from typing import Any

from config import env

# gunicorn's heartbeats are file changes: on a disk they may wait for somebody else's sync.
HEARTBEAT_DIR = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def metrics_dir(pool: str) -> Path:
    """Where the workers of `pool` keep their metrics."""
    return env.run_dir() / f"metrics-{pool}"


def announce_metrics_dir(pool: str) -> None:
    """Tell prometheus-client where to write; to be called before anything imports it.

    It looks at the environment, once, when it is imported, and nowhere else.
    """
    metrics_dir(pool).mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_dir(pool))


def wipe_metrics_dir(pool: str) -> None:
    """Forget the workers of an earlier start: their counts would be added to ours."""
    shutil.rmtree(metrics_dir(pool), ignore_errors=True)
    metrics_dir(pool).mkdir(parents=True)


def forget_worker(worker: Any) -> None:
    """Drop the gauges of a worker that is gone."""
    # Not at the top: see `announce_metrics_dir`.
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def raise_file_limit() -> None:
    """Allow as many connections as the host lets us have; the usual soft limit is 1 024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
