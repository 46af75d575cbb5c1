"""gunicorn's settings for the edge pool: `gunicorn -c config/gunicorn_edge.py config.wsgi_edge`."""

from typing import Any

from config import env
from config.gunicorn_common import HEARTBEAT_DIR as _HEARTBEAT_DIR
from config.gunicorn_common import announce_metrics_dir as _announce_metrics_dir
from config.gunicorn_common import forget_worker as _forget_worker
from config.gunicorn_common import raise_file_limit as _raise_file_limit
from config.gunicorn_common import wipe_metrics_dir as _wipe_metrics_dir

wsgi_app = "config.wsgi_edge:application"
proc_name = "adhouse-edge"
logger_class = "config.gunicorn_logs.StructuredLogger"
bind = f"{env.value('BIND_HOST')}:{env.value('EDGE_PORT')}"
workers = env.value("WEB_CONCURRENCY")
worker_class = "config.workers_edge.EdgeWorker"
worker_connections = 16_384
keepalive = 75
timeout = 120
graceful_timeout = env.value("GRACEFUL_TIMEOUT_S")
worker_tmp_dir = _HEARTBEAT_DIR
control_socket_disable = True

_announce_metrics_dir("edge")


def on_starting(server: Any) -> None:
    """Before the first worker."""
    _wipe_metrics_dir("edge")
    _raise_file_limit()


def child_exit(server: Any, worker: Any) -> None:
    """After a worker is gone, however it went."""
    _forget_worker(worker)


def post_worker_init(worker: Any) -> None:
    """In the new worker, before it serves."""
    from config import wiring
    from runtime.metrics import RouteReporter

    worker.running = [wiring.start("edge"), RouteReporter(wiring.hot_routes())]


def worker_exit(server: Any, worker: Any) -> None:
    """In the worker, once it has stopped serving."""
    for each in getattr(worker, "running", []):
        each.stop()
