"""What the answers must be: brute force in plain Python, one obvious line at a time."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

from timeseries.records import Measurement, Query, Sample


class Reference:
    """Measurements in a dictionary: the later of two with the same tag and time wins."""

    def __init__(self, messages: Iterable[Measurement] = ()) -> None:
        self.kept: dict[tuple[str, int], list[float]] = {}
        self.add(messages)

    def add(self, messages: Iterable[Measurement]) -> None:
        for message in messages:
            self.kept[message.tag, message.time] = message.values

    def rows(self, tag: str) -> list[tuple[int, list[float]]]:
        return sorted((time, values) for (name, time), values in self.kept.items() if name == tag)

    def sample(self, query: Query) -> list[Sample]:
        """The samples, for every aggregate but `lttb`."""
        rows = self.rows(query.tag)
        span = query.end_ns - query.start_ns
        samples = []
        before = query.start_ns
        for i in range(1, query.samples + 1):
            time = query.start_ns + i * span // query.samples
            if query.aggregate == "last":
                chosen = [values for at, values in rows if at <= time][-1:]
            else:
                chosen = [values for at, values in rows if before < at <= time]
            samples.append(Sample(time, _reduce(query.aggregate, chosen) if chosen else None))
            before = time
        return samples


def _reduce(aggregate: str, rows: list[list[float]]) -> Sequence[float]:
    if aggregate in ("last", "first"):
        return rows[0]
    columns = [[row[k] for row in rows if len(row) > k] for k in range(max(map(len, rows)))]
    if aggregate == "mean":
        # Exact, and rounded once.
        return [float(sum(map(Fraction, column)) / len(column)) for column in columns]
    if aggregate == "count":
        return [len(column) for column in columns]
    return [min(column) if aggregate == "min" else max(column) for column in columns]


def assert_same(found: list[Sample], expected: list[Sample]) -> None:
    """Equal, but for the last digits of sums."""
    assert [sample.time for sample in found] == [sample.time for sample in expected]
    for ours, theirs in zip(found, expected, strict=True):
        if ours.values is None or theirs.values is None:
            assert ours.values is theirs.values, (ours, theirs)
            continue
        assert len(ours.values) == len(theirs.values)
        for a, b in zip(ours.values, theirs.values, strict=True):
            assert a == b or abs(a - b) <= 1e-9 * max(abs(a), abs(b)) + 1e-9, (ours, theirs)
