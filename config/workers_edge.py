"""gunicorn's worker class of the edge pool; apart, since meinheld needs a compiler to install."""

import os
import signal
import threading
import time
from typing import Any

from gunicorn.workers.base import Worker
from meinheld import server
from meinheld.gmeinheld import MeinheldWorker

from config import env
from config.succession import Succession

# How long a leaving worker goes on serving, one request a connection.
_FAREWELL_S = 2.0
_ENDS = {signal.SIGTERM, signal.SIGQUIT}


class _ErrorLog:
    """What meinheld calls with an exception that nobody caught."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def error(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        """Log it with its traceback."""
        self._log.error("Exception at the edge", exc_info=(kind, error, trace))


class EdgeWorker(MeinheldWorker):  # type: ignore[misc]
    """meinheld under gunicorn, with a graceful end.

    meinheld takes SIGTERM in C, stops to accept at once and cuts idle connections a second later.
    So the signal is kept from it: blocked in every thread but one, which waits for it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Past MeinheldWorker's own, which replaces methods of gunicorn's Logger: in the master,
        # too, whose first error (a killed worker) would then end the pool.
        Worker.__init__(self, *args, **kwargs)
        server.set_access_logger(None)
        server.set_error_logger(_ErrorLog(self.log))
        self._succession = Succession(env.run_dir(), "edge")

    def init_signals(self) -> None:
        """Called before the application is loaded, so that all its threads inherit the mask."""
        super().init_signals()
        self._main_thread = threading.get_ident()
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
        threading.Thread(target=self._await_end, name="edge-end", daemon=True).start()

    def run(self) -> None:
        """Serve until the end."""
        self._succession.serve()
        super().run()

    def _await_end(self) -> None:
        number = signal.sigwait(_ENDS)
        if not self.booted:
            os._exit(0)  # Nothing was accepted, and the main thread may be busy warming.
        if number == signal.SIGTERM:
            self._await_successors()
            # From now on meinheld closes each connection with the answer.
            server.set_keepalive(0)
            time.sleep(_FAREWELL_S)
        # The signal that meinheld's loop still hears; it interrupts the loop's wait, too.
        signal.pthread_kill(self._main_thread, signal.SIGINT)

    def _await_successors(self) -> None:
        while self._succession.awaited():
            if signal.sigtimedwait({signal.SIGQUIT}, 0.1) is not None:
                return
