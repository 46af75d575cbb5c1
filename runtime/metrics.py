"""Prometheus metrics: requests by route, and gauges of what a worker holds.

Every worker of a pool writes to files in the directory `PROMETHEUS_MULTIPROC_DIR`, which
prometheus-client reads when it is first imported; whoever renders sums them all. Without that
variable (tests, commands) the metrics are those of this process.
"""

import os
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from runtime.http.routes import Route
from runtime.http.stats import LATENCY_BOUNDS_S
from runtime.metric_files import MetricFiles

CONTENT_TYPE = CONTENT_TYPE_LATEST
# The route of what no route matched: a raw path would let any visitor make new series.
NO_ROUTE = "(none)"
_REGISTRY = CollectorRegistry()
_METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])


@cache
def _requests() -> Counter:
    return Counter(
        "http_requests",
        "Requests answered.",
        ("route", "method", "status"),
        registry=_REGISTRY,
    )


@cache
def _durations() -> Histogram:
    return Histogram(
        "http_request_duration_seconds",
        "Seconds from a request's last byte to its answer's first.",
        ("route", "method"),
        buckets=LATENCY_BOUNDS_S,
        registry=_REGISTRY,
    )


def observe_request(*, route: str, method: str, status: int, duration_s: float) -> None:
    """Count one request that a framework answered. `route` is a pattern, never a raw path."""
    known = method if method in _METHODS else "OTHER"
    _requests().labels(route, known, str(status)).inc()
    _durations().labels(route, known).observe(duration_s)


Totals = tuple[dict[int, int], list[int], float]
_NOTHING: Totals = ({}, [0] * (len(LATENCY_BOUNDS_S) + 1), 0.0)


class RoutePublisher:
    """Publishes what the hot routes have counted since the last time."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._published: dict[Route, Totals] = dict.fromkeys(routes, _NOTHING)

    def publish(self) -> None:
        """Add the news to the metrics. Not to be called by two threads at once."""
        for route, before in self._published.items():
            now = route.stats.totals()
            if now != before:
                self._published[route] = now
                _add(route, before, now)


def _add(route: Route, before: Totals, now: Totals) -> None:
    labels = route.path.decode(), route.method.decode()
    for status, count in now[0].items():
        _requests().labels(*labels, str(status)).inc(count - before[0].get(status, 0))
    if now[1] == before[1]:
        return
    news = [count - old for count, old in zip(now[1], before[1], strict=True)]
    add_observations(_durations().labels(*labels), news, now[2] - before[2])


def add_observations(histogram: Histogram, counts: Sequence[int], total: float) -> None:
    """Add many observations at once: how many fell into each bucket, and their sum. `counts` has
    one number more than the histogram has bounds, for what is beyond them all.
    """
    # Histograms offer no way to do that; a test holds these names.
    for value, count in zip(histogram._buckets, counts, strict=True):
        if count:
            value.inc(count)
    histogram._sum.inc(total)


def new_counter(name: str, text: str, labels: Sequence[str] = ()) -> Counter:
    """A counter, summed over the workers of a pool. Once a name."""
    return Counter(name, text, labels, registry=_REGISTRY)


def new_histogram(
    name: str, text: str, labels: Sequence[str] = (), *, bounds: Sequence[float]
) -> Histogram:
    """A histogram, summed over the workers of a pool. Once a name."""
    return Histogram(name, text, labels, buckets=bounds, registry=_REGISTRY)


def worker_gauge(name: str, text: str) -> Gauge:
    """A gauge of which every living worker shows its own value, by `pid`. Once a name."""
    return Gauge(name, text, registry=_REGISTRY, multiprocess_mode="liveall")


def render_metrics(*, beside: Iterable[Path] = ()) -> bytes:
    """Every metric of every worker of this pool, as Prometheus text of type `CONTENT_TYPE`; and of
    pools whose processes write to the directories `beside`.
    """
    own = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not own:
        return generate_latest(_REGISTRY)
    registry = CollectorRegistry()
    registry.register(MetricFiles([Path(own), *beside]))
    return generate_latest(registry)
