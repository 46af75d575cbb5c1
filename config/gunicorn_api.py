"""gunicorn's settings for the api pool: `gunicorn -c config/gunicorn_api.py config.asgi`."""

from typing import Any

from config import env
from config import gunicorn_common as _common

wsgi_app = "config.asgi:application"
proc_name = "adhouse-api"
logger_class = "config.gunicorn_logs.StructuredLogger"
bind = _common.address("PORT")
workers = env.value("WEB_CONCURRENCY")
worker_class = "config.workers.ApiWorker"
# A worker warms its catalog before it beats for the first time.
timeout = 120
graceful_timeout = env.value("GRACEFUL_TIMEOUT_S")
worker_tmp_dir = _common.HEARTBEAT_DIR
control_socket_disable = True

_common.prepare_pool("api")


def on_starting(server: Any) -> None:
    """Before the first worker."""
    _common.begin_pool("api")


def on_reload(server: Any) -> None:
    """On SIGHUP, before the new workers."""
    _common.replace_workers("api", server)


def post_fork(server: Any, worker: Any) -> None:
    """In a new worker, before it loads anything."""
    _common.boot_worker("api")


def child_exit(server: Any, worker: Any) -> None:
    """After a worker is gone, however it went."""
    _common.forget_worker("api", worker)
