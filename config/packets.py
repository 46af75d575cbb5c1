"""What the processes of the packets run: connections, the sessions behind them, and a watch.

The watch tells health and metrics of all of them over HTTP, on a port of its own.
"""

import select
import socket
from functools import partial
from logging import getLogger

from accounts.keeper import new_keeper
from accounts.packets.answers import new_answers, new_renewals
from accounts.packets.limits import Limits
from accounts.packets.pool import Pool, Work, listeners
from accounts.packets.process import run
from commons.patience import limit_process
from config import env
from config.gunicorn_common import begin_pool, forget_process
from config.health import healthz
from runtime.watch import watched

log = getLogger(__name__)

POOL = "packets"


def serve_packets() -> None:
    """Serve until SIGTERM or SIGINT, and answer then what has come. Every process of the pool is a
    fork of this one. PortInUseError when a port is taken.
    """
    host = env.value("BIND_HOST").strip("[]")
    port, processes = env.value("PACKETS_PORT"), env.value("WEB_CONCURRENCY")
    places: list[tuple[socket.socket | None, Work]] = [
        (listener, _serve) for listener in listeners(host, port, processes)
    ]
    # Not before the port is ours: what is forgotten here might be another pool's, which runs.
    begin_pool(POOL)
    if watch_port := env.value("PACKETS_WATCH_PORT"):
        places.append((None, partial(_watch, host, watch_port)))
    log.info("packets on port %d, served by %d processes", port, processes)
    # Two seconds more than the processes give themselves.
    grace_s = env.value("GRACEFUL_TIMEOUT_S") + 2.0
    Pool(places, grace_s=grace_s, buried=partial(forget_process, POOL)).run()


def _serve(listener: socket.socket | None, lifeline: int) -> None:
    assert listener is not None
    limit_process(env.value("DATABASE_ANSWER_TIMEOUT_S"))
    limits = Limits(
        connections=env.value("PACKETS_CONNECTIONS"),
        idle_s=env.value("PACKETS_IDLE_S"),
        # A connection to PostgreSQL for each thread of both lanes.
        threads=max(1, env.value("DATABASE_POOL_SIZE") // 2),
    )
    grace_s = float(env.value("GRACEFUL_TIMEOUT_S"))
    keeper, renewals = new_keeper(), new_renewals()
    keeper.start()
    try:
        run(listener, new_answers(renewals), limits, lifeline=lifeline, grace_s=grace_s)
    finally:
        renewals.stop()
        keeper.stop()


def _watch(host: str, port: int, _listener: socket.socket | None, lifeline: int) -> None:
    with watched(host, port, healthz):
        select.select([lifeline], [], [])
