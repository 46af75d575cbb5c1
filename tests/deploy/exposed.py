"""Has every metric of the product said once: most exist only once something has happened."""

from accounts import stages
from accounts.packets.stats import Stats
from adserver.metrics import set_catalog
from counters.figures import NAMES
from counters.metrics import render
from counters.selectors import ShardState, State
from runtime.commit_stats import CommitStats
from runtime.limiter import count_unlimited
from runtime.metrics import observe_request, render_metrics
from timeseries.metrics import count_failure, count_written, set_lag


def exposed_text() -> str:
    """Every metric of the product, as its `/metrics` shows them."""
    expose_all()
    shards = [ShardState("adhouse:{counters:0}:log", 0, 0, 0.0)]
    counters = State(shards=shards, dead_letters=0, figures=dict.fromkeys(NAMES, 0))
    return (render_metrics() + render(counters)).decode()


def expose_all() -> None:
    """Afterwards the metrics of this process are those of the product."""
    commits = CommitStats("counters")
    commits.accepted(1, 0.001)
    commits.refused("redis", 1)
    commits.publish()
    observe_request(route="/x", method="GET", status=200, duration_s=0.1)
    set_catalog(version=1, lag_s=0.0, open_ads=1, live_ads=1, gaps=0)
    stages.observe_stage("hash", 0.1)
    stages.count_checks("memory")
    stages.count_login("opened")
    stats = Stats()
    stats.answers["LOGIN"][1] += 1
    stats.at_once(1, 0.001)
    stats.publish(connections=1)
    count_written("adhouse:{timeseries:0}:log", 1, 0.1)
    count_failure()
    set_lag(0.0)
    count_unlimited(1)
