"""Alternating rounds: each server once a round, so that the machine's moods hit all alike."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, TypeVar

from benchmarks.load import Load, run_wrk
from benchmarks.servers import Server


@dataclass
class Series:
    """All runs of one server: loads, and CPU microseconds of the server per request."""

    name: str
    loads: list[Load] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Medians over the rounds; errors summed."""
        return {
            "name": self.name,
            "requests_per_s": round(median(load.requests_per_s for load in self.loads)),
            "cpu_us_per_request": round(median(self.cpu_us), 2),
            "p50_ms": round(median(load.p50_ms for load in self.loads), 3),
            "p99_ms": round(median(load.p99_ms for load in self.loads), 3),
            "errors": sum(load.errors for load in self.loads),
            "rounds": [asdict(load) for load in self.loads],
        }


Run = TypeVar("Run")


def ratio(ours: Series, reference: Series) -> float:
    """Median over the rounds of ours to the reference's requests per second."""
    pairs = zip(ours.loads, reference.loads, strict=True)
    return median(one.requests_per_s / other.requests_per_s for one, other in pairs)


def alternate(
    servers: Sequence[Server], *, script: str, rounds: int, duration_s: int
) -> list[Series]:
    """Load each server in turn, `rounds` times; one short run each beforehand is not counted."""
    series = [Series(server.name) for server in servers]
    for server in servers:
        run_wrk(server.url, script=script, duration_s=1)
    runs = list(zip(servers, series, strict=True))
    for number in range(rounds):
        for server, each in back_and_forth(runs, number):
            measure(server, each, script=script, duration_s=duration_s, seed=number + 1)
    return series


def back_and_forth(runs: Sequence[Run], number: int) -> Sequence[Run]:
    """The order in the round of that number: none always follows the same one."""
    return runs[:: -1 if number % 2 else 1]


def measure(server: Server, series: Series, *, script: str, duration_s: int, seed: int) -> None:
    """One counted run."""
    before_s = server.cpu_s()
    load = run_wrk(server.url, script=script, duration_s=duration_s, seed=seed)
    series.cpu_us.append((server.cpu_s() - before_s) / max(load.requests, 1) * 1e6)
    series.loads.append(load)
