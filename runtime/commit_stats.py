"""What a group commit has done, counted in plain integers and published once a second.

Publishing is a write into a file that all workers' metrics are summed from; a batch that waits for
nothing else would notice it.
"""

from bisect import bisect_left
from functools import cache

from prometheus_client import Counter, Histogram

from runtime.http.stats import LATENCY_BOUNDS_S
from runtime.metrics import add_observations, new_counter, new_histogram

SIZE_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 20_000)


@cache
def _accepted() -> Counter:
    return new_counter("ingest_accepted", "Requests written to a stream.", ("stream",))


@cache
def _refused() -> Counter:
    return new_counter("ingest_refused", "Requests not taken, by reason.", ("stream", "reason"))


@cache
def _sizes() -> Histogram:
    text = "Requests in one batch."
    return new_histogram("ingest_batch_requests", text, ("stream",), bounds=SIZE_BOUNDS)


@cache
def _durations() -> Histogram:
    text = "Seconds from a batch's closing to its being safe."
    return new_histogram("ingest_batch_seconds", text, ("stream",), bounds=LATENCY_BOUNDS_S)


class _Observed:
    """Observations since the last time they were published."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def publish(self, histogram: Histogram) -> None:
        if any(self._counts):
            add_observations(histogram, self._counts, self._total)
            self._counts = [0] * len(self._counts)
            self._total = 0.0


class CommitStats:
    """One stream's numbers in this worker. `name` is the stream's, without its shard."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._accepted = 0
        self._refused: dict[str, int] = {}
        self._sizes = _Observed(SIZE_BOUNDS)
        self._durations = _Observed(LATENCY_BOUNDS_S)

    def accepted(self, requests: int, duration_s: float) -> None:
        """One batch is safe."""
        self._accepted += requests
        self._sizes.add(requests)
        self._durations.add(duration_s)

    def refused(self, reason: str, requests: int) -> None:
        """So many requests were not taken."""
        self._refused[reason] = self._refused.get(reason, 0) + requests

    def publish(self) -> None:
        """Add the news to the metrics."""
        if self._accepted:
            _accepted().labels(self._name).inc(self._accepted)
            self._accepted = 0
        for reason, requests in self._refused.items():
            _refused().labels(self._name, reason).inc(requests)
        self._refused.clear()
        self._sizes.publish(_sizes().labels(self._name))
        self._durations.publish(_durations().labels(self._name))
