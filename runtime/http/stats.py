"""Counts and latencies of one hot route, kept in plain integers by the thread that answers.

Publishing them costs a thousand times more than counting, so it happens once a second, elsewhere
(`runtime.metrics`). Numbers only grow: whoever publishes remembers what it has published.
"""

from bisect import bisect_left

# Upper bounds, in seconds, of the latency histogram that every route shares.
LATENCY_BOUNDS_S = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
FIRST_BOUND_S = LATENCY_BOUNDS_S[0]


class RouteStats:
    """What one route has answered, in this process.

    `statuses` counts answers by status; `buckets[i]` those that took at most
    `LATENCY_BOUNDS_S[i]` (and longer than the bound before), the last one those beyond all bounds.
    The answers with status 200 within the first bound, which are nearly all, are in `usual`
    instead: one addition then does for both counts.
    """

    __slots__ = ("buckets", "statuses", "total_s", "usual")

    def __init__(self) -> None:
        self.usual = 0
        self.total_s = 0.0
        self.statuses: dict[int, int] = {}
        self.buckets = [0] * (len(LATENCY_BOUNDS_S) + 1)

    def add(self, status: int, duration_s: float) -> None:
        """Count one answer."""
        self.total_s += duration_s
        if status == 200 and duration_s <= FIRST_BOUND_S:
            self.usual += 1
        else:
            self.statuses[status] = self.statuses.get(status, 0) + 1
            self.buckets[bisect_left(LATENCY_BOUNDS_S, duration_s)] += 1

    def refuse(self, status: int) -> None:
        """Count one answer to what was no request, so has no duration."""
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def answered(self) -> int:
        """How many answers there were."""
        return self.usual + sum(self.statuses.values())

    def totals(self) -> tuple[dict[int, int], list[int], float]:
        """Answers by status, answers by bucket, and the sum of their durations in seconds."""
        usual, total_s = self.usual, self.total_s
        statuses, buckets = self.statuses.copy(), self.buckets.copy()
        if usual:
            statuses[200] = statuses.get(200, 0) + usual
            buckets[0] += usual
        return statuses, buckets, total_s
