"""gunicorn's settings for the api pool: `gunicorn -c config/gunicorn_api.py config.asgi`."""

from typing import Any

from config import env
from config.gunicorn_common import HEARTBEAT_DIR as _HEARTBEAT_DIR
from config.gunicorn_common import announce_metrics_dir as _announce_metrics_dir
from config.gunicorn_common import forget_worker as _forget_worker
from config.gunicorn_common import raise_file_limit as _raise_file_limit
from config.gunicorn_common import wipe_metrics_dir as _wipe_metrics_dir

wsgi_app = "config.asgi:application"
proc_name = "adhouse-api"
logger_class = "config.gunicorn_logs.StructuredLogger"
bind = f"{env.value('BIND_HOST')}:{env.value('PORT')}"
workers = env.value("WEB_CONCURRENCY")
worker_class = "config.workers.ApiWorker"
# A worker warms its catalog before it beats for the first time.
timeout = 120
graceful_timeout = env.value("GRACEFUL_TIMEOUT_S")
worker_tmp_dir = _HEARTBEAT_DIR
control_socket_disable = True

_announce_metrics_dir("api")


def on_starting(server: Any) -> None:
    """Before the first worker."""
    _wipe_metrics_dir("api")
    _raise_file_limit()


def child_exit(server: Any, worker: Any) -> None:
    """After a worker is gone, however it went."""
    _forget_worker(worker)
