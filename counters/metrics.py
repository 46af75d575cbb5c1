"""How the counters are doing, as Prometheus text, asked for when somebody scrapes.

Drains may run anywhere; what they did is counted in Redis, and what waits is in the streams. So
every api pool shows the same figures of the whole deployment, not its own.
"""

from collections.abc import Iterator

import redis
import structlog
from django.db import DatabaseError
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from counters import selectors
from counters.selectors import State

log = structlog.get_logger(__name__)

_FIGURES = {
    "applied": ("counters_increments_applied", "Increments added to totals."),
    "repeated": ("counters_groups_repeated", "Requests whose Idempotency-Key was known."),
    "dead": ("counters_dead", "Times that something accepted could not be counted."),
    "different": ("counters_reconciled_different", "Cached totals that were wrong, and removed."),
    "delayed": ("counters_reconciled_delayed", "Cached totals found behind for the moment."),
}


def render_state() -> bytes:
    """Every figure; nothing while Redis or PostgreSQL is away."""
    try:
        state = selectors.state()
    except (redis.RedisError, OSError, DatabaseError) as error:
        log.debug("no figures of the counters", error=str(error))
        return b""
    return render(state)


def render(state: State) -> bytes:
    """One state as Prometheus text."""
    registry = CollectorRegistry()
    registry.register(_StateCollector(state))
    return generate_latest(registry)


class _StateCollector(Collector):
    """One state, as metrics."""

    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Gauges of what waits, counters of what was done."""
        yield from self._by_stream()
        yield GaugeMetricFamily(
            "counters_dead_letters",
            "Dead letters that nobody has replayed.",
            self._state.dead_letters,
        )
        for figure, (name, text) in _FIGURES.items():
            yield CounterMetricFamily(name, text, self._state.figures[figure])

    def _by_stream(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "counters_waiting_batches", "Batches in the stream.", labels=["stream"]
        )
        size = GaugeMetricFamily(
            "counters_waiting_bytes", "What the stream takes of Redis's memory.", labels=["stream"]
        )
        lag = GaugeMetricFamily(
            "counters_lag_seconds", "Age of the oldest batch in the stream.", labels=["stream"]
        )
        for shard in self._state.shards:
            waiting.add_metric([shard.stream], shard.waiting)
            size.add_metric([shard.stream], shard.waiting_bytes)
            lag.add_metric([shard.stream], shard.lag_s)
        yield from (waiting, size, lag)
