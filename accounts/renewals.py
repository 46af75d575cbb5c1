"""Verifies passwords again while they are still remembered. Pure.

Somebody who logs in again and again would else wait for a hash once a minute, and with them all who
log in at that moment.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from logging import getLogger
from typing import NamedTuple

log = getLogger(__name__)

# More than one thread verifies in a quarter of a minute; the others wait for their hash.
_MOST = 500


class Login(NamedTuple):
    """What somebody has said who was let in."""

    username: str
    password: str
    address: str


class Renewals:
    """One thread, which begins with the first login that is asked for."""

    def __init__(self, renew: Callable[[Login], None], *, before_s: float) -> None:
        self.before_s = before_s
        self._renew = renew
        self._lock = threading.Lock()
        self._asked: set[Login] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="renewals")

    def ask(self, login: Login) -> None:
        """Renew it soon, unless that is asked for already or too many are. Never waits."""
        with self._lock:
            if login in self._asked or len(self._asked) >= _MOST:
                return
            self._asked.add(login)
        self._thread.submit(self._run, login)

    def stop(self) -> None:
        """Drop what waits, and end with what is under way."""
        self._thread.shutdown(cancel_futures=True)

    def _run(self, login: Login) -> None:
        try:
            self._renew(login)
        except Exception:
            log.exception("a login could not be renewed")
        finally:
            with self._lock:
                self._asked.discard(login)
