"""What the server says of the stages behind its answers, from two readings of its metrics."""

import math
import urllib.request
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

_TIMEOUT_S = 10.0
_STAGES = "accounts_stage_seconds_bucket"
_CHECKS = "accounts_session_checks_total"


@dataclass
class Reading:
    """Counts so far: of each stage by upper bound in seconds, of session checks by who answered."""

    stages: dict[str, dict[float, float]] = field(default_factory=lambda: defaultdict(dict))
    checks: dict[str, float] = field(default_factory=dict)


def read_metrics(url: str) -> Reading:
    """The counts at `url` now. OSError when nobody answers there."""
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the engineer's
        return parse_metrics(answer.read().decode())


def parse_metrics(text: str) -> Reading:
    """The counts in Prometheus text."""
    reading = Reading()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == _STAGES:
                bound_s = float(sample.labels["le"])
                reading.stages[sample.labels["stage"]][bound_s] = sample.value
            elif sample.name == _CHECKS:
                reading.checks[sample.labels["answered_by"]] = sample.value
    return reading


@dataclass(frozen=True)
class StageFigures:
    """A stage: how often, and by which bound 50 and 99 percent were done."""

    stage: str
    count: int
    p50_s: float
    p99_s: float


def stages_between(before: Reading, after: Reading) -> list[StageFigures]:
    """What each stage did between two readings; stages that did nothing are left out."""
    figures = []
    for stage, buckets in sorted(after.stages.items()):
        old = before.stages.get(stage, {})
        counts = {bound_s: count - old.get(bound_s, 0.0) for bound_s, count in buckets.items()}
        total = counts.get(math.inf, 0.0)
        if total:
            p50_s, p99_s = (_bound(counts, total * share) for share in (0.5, 0.99))
            figures.append(StageFigures(stage, round(total), p50_s, p99_s))
    return figures


def checks_between(before: Reading, after: Reading) -> dict[str, int]:
    """Session checks between two readings, by what answered them."""
    return {
        by: round(count - before.checks.get(by, 0.0)) for by, count in sorted(after.checks.items())
    }


def miss_rate(checks: Mapping[str, int], checked: int) -> float:
    """The share of `checked` session checks that no cache answered; 1 at most."""
    return min(1.0, checks.get("database", 0) / checked)


def percentile(sorted_s: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed; 0 of none."""
    if not sorted_s:
        return 0.0
    return sorted_s[max(0, math.ceil(share * len(sorted_s)) - 1)]


def _bound(counts: Mapping[float, float], wanted: float) -> float:
    """The upper bound of the bucket that holds the `wanted`-th; buckets count all below too."""
    return next(bound_s for bound_s, count in sorted(counts.items()) if count >= wanted)
