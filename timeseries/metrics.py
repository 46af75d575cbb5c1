"""What the time series tell Prometheus, beside what every group commit does."""

import math
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from runtime.http.stats import LATENCY_BOUNDS_S
from runtime.metrics import new_counter, new_histogram, worker_gauge


@cache
def _written() -> Counter:
    return new_counter("timeseries_written_entries", "Stream entries stored.", ("stream",))


@cache
def _seconds() -> Histogram:
    text = "Seconds to store what one pass took out of a stream."
    return new_histogram("timeseries_write_seconds", text, ("stream",), bounds=LATENCY_BOUNDS_S)


@cache
def _failures() -> Counter:
    return new_counter("timeseries_write_failures", "Passes that a store or Redis broke off.")


@cache
def _lag() -> Gauge:
    return worker_gauge("timeseries_lag_seconds", "Age of the oldest entry not yet stored.")


def count_written(stream: str, entries: int, duration_s: float) -> None:
    """A pass over a stream stored so many entries."""
    _written().labels(stream).inc(entries)
    _seconds().labels(stream).observe(duration_s)


def count_failure() -> None:
    """A pass was broken off."""
    _failures().inc()


def set_lag(lag_s: float | None) -> None:
    """How far the store is behind; None when nobody can tell."""
    _lag().set(math.nan if lag_s is None else lag_s)
