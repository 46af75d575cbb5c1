"""gunicorn's worker classes of both pools."""

import os
import sys
from typing import Any, ClassVar

from gunicorn.arbiter import Arbiter
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

from config import env
from config.succession import Succession
from runtime.http.limits import Limits
from runtime.http.protocol import FastPathProtocol


class ApiProtocol(FastPathProtocol):
    """The fast path, with the limits that the environment sets."""

    limits = Limits(body_bytes=env.value("MAX_BODY_BYTES"))


class EdgeProtocol(FastPathProtocol):
    """The fast path where no body is looked at."""

    limits = Limits(body_bytes=65_536)


class PoolServer(Server):
    """uvicorn's server, which leaves only when its successors serve, or its master is gone: else it
    would keep the port, and nobody could tell it anything.
    """

    def __init__(self, *args: Any, pool: str, master_pid: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._master_pid = master_pid
        self._succession = Succession(env.run_dir(), pool)
        # uvicorn's own counter is 0 again once a day.
        self._serves = False

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; True ends the server."""
        if not self._serves:
            self._serves = True
            self._succession.serve()
        if os.getppid() != self._master_pid:
            self.should_exit = True
        leaves = await super().on_tick(counter)
        return leaves and not self._succession.awaited()


class _PoolWorker(UvicornWorker):  # type: ignore[misc]
    """uvicorn under gunicorn, with the fast path before everything else."""

    pool: ClassVar[str]
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
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

    async def _serve(self) -> None:
        # As the base class does it, but for the server's class.
        self.config.app = self.wsgi
        server = PoolServer(config=self.config, pool=self.pool, master_pid=self.ppid)
        self._install_sigquit_handler()
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)


class ApiWorker(_PoolWorker):
    """A worker of the api."""

    pool = "api"
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {**_PoolWorker.CONFIG_KWARGS, "http": ApiProtocol}


class EdgeWorker(_PoolWorker):
    """A worker of the edge."""

    pool = "edge"
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {**_PoolWorker.CONFIG_KWARGS, "http": EdgeProtocol}
