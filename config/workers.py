"""gunicorn's worker class of the api pool."""

from typing import Any

from uvicorn_worker import UvicornWorker

from config import env
from runtime.http.limits import Limits
from runtime.http.protocol import FastPathProtocol


class ApiProtocol(FastPathProtocol):
    """The fast path, with the limits that the environment sets."""

    limits = Limits(body_bytes=env.value("MAX_BODY_BYTES"))


class ApiWorker(UvicornWorker):  # type: ignore[misc]
    """uvicorn under gunicorn, with the fast path before everything else."""

    CONFIG_KWARGS = {  # noqa: RUF012 - name and form are the base class's
        "loop": "uvloop",
        "http": ApiProtocol,
        "ws": "none",
        "lifespan": "on",
        "access_log": False,
        "server_header": False,
        # TLS ends at the proxy, and Django reads what the proxy says by settings of its own.
        "proxy_headers": False,
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # One second less than gunicorn waits before it kills.
        self.config.timeout_graceful_shutdown = max(1, self.cfg.graceful_timeout - 1)
