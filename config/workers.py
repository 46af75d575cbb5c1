"""gunicorn's worker classes of the two pools, and how each of them leaves.

Both leave in the same way. After SIGTERM (from gunicorn: a stop, or the replacement of a worker
after SIGHUP) every answer says `connection: close`, for long enough that a client which keeps its
connection busy hears of it; only then are idle connections closed. So no request is lost that
was on its way.
"""

import os
import signal
import threading
import time
from typing import Any

from meinheld import server
from meinheld.gmeinheld import MeinheldWorker
from uvicorn_worker import UvicornWorker

from config import env
from runtime.http.limits import Limits
from runtime.http.protocol import FastPathProtocol

# How long the edge goes on serving, a request a connection, before it stops to accept.
_FAREWELL_S = 2.0


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


class EdgeWorker(MeinheldWorker):  # type: ignore[misc]
    """meinheld under gunicorn, with a graceful end.

    meinheld takes SIGTERM in C, stops to accept at once and cuts idle connections a second later.
    So the signal is kept from it: blocked in every thread but one, which waits for it.
    """

    def init_signals(self) -> None:
        """Called before the application is loaded, so that all its threads inherit the mask."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGQUIT})
        threading.Thread(target=self._await_end, name="edge-end", daemon=True).start()

    def _await_end(self) -> None:
        number = signal.sigwait({signal.SIGTERM, signal.SIGQUIT})
        if not self.booted:
            os._exit(0)  # Nothing was accepted, and the main thread may be busy warming.
        if number == signal.SIGTERM:
            # From now on meinheld closes each connection with the answer.
            server.set_keepalive(0)
            time.sleep(_FAREWELL_S)
        # The signal that meinheld's loop still hears; it interrupts the loop's wait, too.
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
