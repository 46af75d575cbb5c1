"""Starts and stops what a web process needs besides Django: the replica, the worker's board entry.

Importing this module starts nothing. `start(pool)` is called once per worker, after the fork;
what it gives back has a `stop()`.
"""

import sys
import threading
import time
from functools import cache

from django.conf import settings

from adserver.catalog import lookup_ads, process_index
from adserver.hints import CHANNEL
from adserver.metrics import set_catalog
from adserver.replica import Replica
from commons.connecting import connect
from commons.patience import limit_process
from config import env
from runtime.board import Board
from runtime.http.routes import RouteTable
from runtime.pubsub import Subscriber

BOARD_INTERVAL_S = 0.25
# How long a thread that serves Django, or the replica's, may keep the event loop waiting when that
# has something to do: a fifth of Python's default.
_SWITCH_INTERVAL_S = 0.001
WARM_TIMEOUT_S = 60.0


def new_replica() -> Replica:
    """The replica of this process's index; not started."""
    return Replica(
        index=process_index,
        connect=connect,
        hints=Subscriber(settings.CACHE_REDIS_URL, CHANNEL),
        poll_s=env.value("CATALOG_POLL_S"),
    )


@cache
def hot_routes() -> RouteTable:
    """The routes answered before any framework; one table a process."""
    table = RouteTable()
    table.read(b"GET", b"/api/v1/ad", lookup_ads)
    return table


class Worker:
    """What one web worker has running beside its server."""

    def __init__(self, pool: str) -> None:
        self.pool = pool
        self.replica = new_replica()
        self.board = Board(env.run_dir() / "workers", pool)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._report, name="worker-board", daemon=True)

    def start(self, *, warm_timeout_s: float = WARM_TIMEOUT_S) -> None:
        """Start, and wait until the index is warm, or PostgreSQL turns out to be away.

        A worker that cannot warm goes on without: it answers 503, says so on `/readyz`, and
        warms as soon as PostgreSQL is back.
        """
        self.replica.start()
        give_up_s = time.monotonic() + warm_timeout_s
        while not self.replica.warm.wait(0.02):
            if self.replica.failures > 1 or time.monotonic() > give_up_s:
                break
        self._publish()
        self._thread.start()

    def _report(self) -> None:
        while not self._stopping.wait(BOARD_INTERVAL_S):
            self._publish()

    def _publish(self) -> None:
        version, digest, open_ads, live_ads = self.replica.index.state()
        lag_s = round(self.replica.lag_s, 3)
        self.board.write(
            version=version, hash=digest, open_ads=open_ads, live_ads=live_ads, lag_s=lag_s
        )
        set_catalog(
            version=version or 0,
            lag_s=lag_s,
            open_ads=open_ads,
            live_ads=live_ads,
            gaps=self.replica.gaps,
        )

    def stop(self) -> None:
        """Stop the replica and leave the board."""
        self._stopping.set()
        self.replica.stop()
        # Or a report under way would put the worker back on the board.
        self._thread.join(timeout=1)
        self.board.remove()


_running: list[Worker] = []


def start(pool: str) -> Worker:
    """Start what a worker of `pool` (`api` or `edge`) needs; `stop` it at the end."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    limit_process(env.value("DATABASE_ANSWER_TIMEOUT_S"))
    worker = Worker(pool)
    _running.append(worker)
    worker.start()
    return worker


def current() -> Worker | None:
    """What runs in this process, if anything does."""
    return _running[-1] if _running else None
