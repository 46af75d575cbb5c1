"""`/healthz`, `/readyz` and `/metrics`, the same functions behind Django and behind the edge.

Being ready means that this worker can serve: its index is warm and the stores that it needs
answer. The edge needs none once it is warm, so it stays ready while they are away; its lag tells.
"""

from collections.abc import Callable
from functools import cache, wraps
from typing import TYPE_CHECKING, Any

import msgspec
import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from commons.patience import patience
from config import env, wiring
from config.doors import response_of
from counters.metrics import render_state
from runtime.board import read_board
from runtime.http.answer import Answer
from runtime.http.errors import READS_ONLY
from runtime.metrics import CONTENT_TYPE, render_metrics

if TYPE_CHECKING:
    from config.measurements import Measurements

# The replica looks at PostgreSQL once a second, and may hang when that stands still.
_DATABASE_SILENCE_S = 3.0
_REDIS_TIMEOUT_S = 0.5
_WITHOUT_HTTP = ("packets",)
_encode = msgspec.json.Encoder().encode


def healthz() -> Answer:
    """200: the process answers."""
    return Answer(200, b'{"status":"ok"}')


def readyz() -> Answer:
    """200 when this worker can serve, else 503 with the reason; both show every worker's state:
    `pool`, `pid`, `version`, `hash`, `open_ads`, `live_ads`, `lag_s`. The api shows how far the
    time series' store is behind, too.
    """
    reasons = _reasons(wiring.current())
    state: dict[str, Any] = {"status": "ready"} if not reasons else {"msg": "; ".join(reasons)}
    if (measurements := _measurements(wiring.current())) is not None:
        state["timeseries"] = measurements.state()
    state["workers"] = read_board(env.run_dir() / "workers")
    headers = ((b"retry-after", b"1"),) if reasons else ()
    return Answer(503 if reasons else 200, _encode(state), headers)


def _reasons(worker: wiring.Worker | None) -> list[str]:
    if worker is None or not worker.replica.warm.is_set():
        return ["catalog: is not loaded yet"]
    if worker.pool == "edge":
        return []
    reasons = []
    if worker.replica.failing or worker.replica.lag_s > _DATABASE_SILENCE_S:
        reasons.append(f"postgres: has not answered for {worker.replica.lag_s:.1f} s")
    try:
        _redis().ping()
    except (redis.RedisError, OSError):
        reasons.append("redis: does not answer")
    reasons += _ingest_reasons()
    if (measurements := _measurements(worker)) is not None:
        reasons += measurements.reasons()
    return reasons


def _ingest_reasons() -> list[str]:
    # Not at the top: the edge, which comes here for its own readiness, does not load it.
    from config.ingest import Ingest

    return Ingest.running.reasons() if Ingest.running is not None else []


def _measurements(worker: wiring.Worker | None) -> "Measurements | None":
    """What serves the time series in this process; the edge does not even load it."""
    if worker is None or worker.pool == "edge":
        return None
    from config.measurements import Measurements

    return Measurements.running


@cache
def _redis() -> redis.Redis:
    return redis.Redis.from_url(
        settings.CACHE_REDIS_URL,
        socket_timeout=_REDIS_TIMEOUT_S,
        socket_connect_timeout=_REDIS_TIMEOUT_S,
        retry=None,
    )


View = Callable[[HttpRequest], HttpResponse]


def _read_only(view: View) -> View:
    """For reads; other methods are told so, and not asked for a form's token."""

    @csrf_exempt
    @wraps(view)
    def reading(request: HttpRequest) -> HttpResponse:
        return view(request) if request.method in ("GET", "HEAD") else response_of(READS_ONLY)

    return reading


@_read_only
def healthz_view(request: HttpRequest) -> HttpResponse:
    """Django's door to `healthz`."""
    return response_of(healthz())


@_read_only
def readyz_view(request: HttpRequest) -> HttpResponse:
    """Django's door to `readyz`."""
    return response_of(readyz())


@_read_only
def metrics_view(request: HttpRequest) -> HttpResponse:
    """Prometheus text of all workers of the pool, of what runs beside it on this host without HTTP
    of its own, and of the counters wherever they are drained.
    """
    beside = [env.run_dir() / f"metrics-{pool}" for pool in _WITHOUT_HTTP]
    with patience(_DATABASE_SILENCE_S):
        text = render_metrics(beside=beside) + render_state()
    return HttpResponse(text, content_type=CONTENT_TYPE)
