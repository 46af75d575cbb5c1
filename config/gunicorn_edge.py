"""gunicorn's settings for the edge pool: `gunicorn -c config/gunicorn_edge.py config.asgi_edge`."""

from typing import Any

from config import env
from config import gunicorn_common as _common

wsgi_app = "config.asgi_edge:application"
proc_name = "adhouse-edge"
logger_class = "config.gunicorn_logs.StructuredLogger"
bind = _common.address("EDGE_PORT")
workers = env.value("WEB_CONCURRENCY")
worker_class = "config.workers.EdgeWorker"
# A worker warms its catalog before it beats for the first time.
timeout = 120
graceful_timeout = env.value("GRACEFUL_TIMEOUT_S")
worker_tmp_dir = _common.HEARTBEAT_DIR
control_socket_disable = True

_common.prepare_pool("edge")


def on_starting(server: Any) -> None:
    """Before the first worker."""
    _common.begin_pool("edge")


def on_reload(server: Any) -> None:
    """On SIGHUP, before the new workers."""
    _common.replace_workers("edge", server)


def post_fork(server: Any, worker: Any) -> None:
    """In a new worker, before it loads anything."""
    _common.boot_worker("edge")


def child_exit(server: Any, worker: Any) -> None:
    """After a worker is gone, however it went."""
    _common.forget_worker("edge", worker)
