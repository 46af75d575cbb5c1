"""config/gunicorn_edge.py for the small application: workers say in RUN_DIR that they serve."""

import os

from config import env
from config.gunicorn_edge import *  # noqa: F403 - all of its settings


def post_worker_init(worker):
    (env.run_dir() / f"serving-{os.getpid()}").touch()


def worker_exit(server, worker):
    """Nothing was started."""
