"""gunicorn's worker class of the edge pool; apart, since meinheld needs a compiler to install."""

import os
import signal
import threading
import time

from meinheld import server
from meinheld.gmeinheld import MeinheldWorker

# How long a leaving worker goes on serving, one request a connection.
_FAREWELL_S = 2.0


class EdgeWorker(MeinheldWorker):  # type: ignore[misc]
    """meinheld under gunicorn, with a graceful end.

    meinheld takes SIGTERM in C, stops to accept at once and cuts idle connections a second later.
    So the signal is kept from it: blocked in every thread but one, which waits for it.
    """

    def init_signals(self) -> None:
        """Called before the application is loaded, so that all its threads inherit the mask."""
        super().init_signals()
        self._main_thread = threading.get_ident()
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
        signal.pthread_kill(self._main_thread, signal.SIGINT)
