"""Commands that run until they are told to stop."""

import signal
import threading
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and Ctrl-C set, instead of ending the process."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in _SIGNALS:
        signal.signal(number, stop)
    return stopping
