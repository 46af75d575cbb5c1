"""config/gunicorn_edge.py for the small application: workers say in RUN_DIR that they serve."""

import os

from config import env
from config.gunicorn_edge import *  # noqa: F403 - all of its settings
from tests.fastpath.gate import wait_at_gate


def post_worker_init(worker):
    wait_at_gate(env.run_dir())
    (env.run_dir() / f"serving-{os.getpid()}").touch()
