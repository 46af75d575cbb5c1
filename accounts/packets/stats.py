"""Counts of one process, kept in plain integers by its event loop and published once a second."""

from bisect import bisect_left
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from accounts.packets.codec import FORMATS
from runtime.http.stats import FIRST_BOUND_S, LATENCY_BOUNDS_S
from runtime.metrics import add_observations, new_counter, new_histogram, worker_gauge

BAD = "(bad)"
_RESULTS = ("failure", "success")
_MEMORY, _WAITED = "memory", "waited"


@cache
def _answers() -> Counter:
    return new_counter(
        "packets_answers",
        "Packets answered; `(bad)` are lines that are none.",
        ("format", "result"),
    )


@cache
def _durations() -> Histogram:
    return new_histogram(
        "packets_duration_seconds",
        "From the arrival of a packet to its answer: from memory, or after waiting.",
        ("way",),
        bounds=LATENCY_BOUNDS_S,
    )


@cache
def _refusals() -> Counter:
    return new_counter("packets_refusals", "Connections refused, packets turned away.", ("what",))


@cache
def _connections() -> Gauge:
    return worker_gauge("packets_connections", "Connections of a process.")


class Stats:
    """What one process has answered since it last published."""

    def __init__(self) -> None:
        self.answers = {name: [0, 0] for name in (*FORMATS, BAD)}
        self.refusals = {"connection": 0, "packet": 0}
        self._buckets = {way: [0] * (len(LATENCY_BOUNDS_S) + 1) for way in (_MEMORY, _WAITED)}
        self._total_s = {_MEMORY: 0.0, _WAITED: 0.0}
        # From memory within the first bound, which are nearly all: in neither of the two above.
        self._usual, self._usual_s = 0, 0.0

    def at_once(self, packets: int, duration_s: float) -> None:
        """A burst of packets was answered from memory, the last one after `duration_s`."""
        if duration_s <= FIRST_BOUND_S:
            self._usual += packets
            self._usual_s += packets * duration_s
            return
        self._buckets[_MEMORY][bisect_left(LATENCY_BOUNDS_S, duration_s)] += packets
        self._total_s[_MEMORY] += packets * duration_s

    def waited(self, duration_s: float) -> None:
        """A packet that had to wait was answered."""
        self._buckets[_WAITED][bisect_left(LATENCY_BOUNDS_S, duration_s)] += 1
        self._total_s[_WAITED] += duration_s

    def publish(self, *, connections: int) -> None:
        """Add what is new to the metrics, and begin to count anew."""
        for name, counts in self.answers.items():
            for result, count in zip(_RESULTS, counts, strict=True):
                if count:
                    _answers().labels(name, result).inc(count)
            counts[:] = [0, 0]
        for what, count in self.refusals.items():
            _refusals().labels(what).inc(count)
            self.refusals[what] = 0
        self._buckets[_MEMORY][0] += self._usual
        self._total_s[_MEMORY] += self._usual_s
        self._usual, self._usual_s = 0, 0.0
        for way, buckets in self._buckets.items():
            if any(buckets):
                add_observations(_durations().labels(way), buckets, self._total_s[way])
                self._buckets[way] = [0] * len(buckets)
                self._total_s[way] = 0.0
        _connections().set(connections)
