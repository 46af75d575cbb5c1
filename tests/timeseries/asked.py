"""A store in memory with an hour of measurements, and the clock by which it is asked."""

from timeseries.queries import Reach
from timeseries.stores.memory import Memory

S_NS = 1_000_000_000
NOW_NS = 1_700_000_000 * S_NS
REACH = Reach(retention_s=86_400, grace_s=1, now_ns=lambda: NOW_NS)
HOUR_AGO_NS = NOW_NS - 3600 * S_NS
RANGE = f"start={HOUR_AGO_NS}&end={NOW_NS}"


def one_hour() -> Memory:
    """3 600 measurements of `a`, one of `b&c`."""
    memory = Memory()
    memory.tags["a"] = {HOUR_AGO_NS + n * S_NS: [float(n), n / 2] for n in range(3600)}
    memory.tags["b&c"] = {HOUR_AGO_NS: [0.1]}
    return memory
