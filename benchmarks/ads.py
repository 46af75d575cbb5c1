"""A1 to A6: reading ads from the api and the edge, at size, under writes, and from cold; creating
and changing ads over HTTP.
"""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median, quantiles

from benchmarks.house import Catalog, mean_body_bytes, running, wait_ready
from benchmarks.load import run_wrk
from benchmarks.references import bare_asgi, bare_wsgi, meinheld, nginx
from benchmarks.report import Result, Target
from benchmarks.rounds import Series, alternate, back_and_forth, measure, ratio
from benchmarks.servers import Server
from benchmarks.writing import Report, Writer
from tests.support.stores import Stores

SCRIPT = "ads.lua"
WRITES_PER_S = 100
_WRITING_CLIENTS = 8
# A run differs from the next by an eighth however long it is, by how the system happens to lay four
# busy threads on two cores: so runs are short and many.
_RUN_S = 1


@dataclass(frozen=True)
class Effort:
    """How many rounds, how many seconds each run of a round takes, and the largest sizes."""

    rounds: int = 5
    duration_s: int = 5
    most_ads: int = 1_000_000
    most_users: int = 1_000_000


class AdsBenchmarks:
    """The benchmarks over one set of throw-away stores; catalogs are made when first needed."""

    def __init__(self, stores: Stores, directory: Path, effort: Effort) -> None:
        self._stores = stores
        self._directory = directory
        self._effort = effort
        self._catalogs: dict[int, Catalog] = {}

    def catalog(self, count: int) -> Catalog:
        """The catalog of `count` ads."""
        if count not in self._catalogs:
            self._catalogs[count] = Catalog(self._stores, self._directory, count=count)
        return self._catalogs[count]

    @property
    def _runs(self) -> int:
        """So many short runs make up the rounds that were asked for."""
        return self._effort.rounds * self._effort.duration_s // _RUN_S

    @cached_property
    def body_bytes(self) -> int:
        """Mean size of an answer at 1 000 ads; the references answer with as much."""
        with running(self.catalog(1000).api()) as server:
            return mean_body_bytes(server)

    def _alternate(self, *servers: Server) -> list[Series]:
        return alternate(servers, script=SCRIPT, rounds=self._runs, duration_s=_RUN_S)

    def a1(self) -> Result:
        """The api pool at 1 000 ads, beside nginx and bare ASGI, and with one worker."""
        catalog, size = self.catalog(1000), self.body_bytes
        with (
            running(catalog.api()) as ours,
            running(catalog.api(workers=1), workers=1) as alone,
            nginx(self._directory / "nginx", body_bytes=size) as constant,
            bare_asgi(body_bytes=size) as bare,
        ):
            series = self._alternate(constant, bare, ours, alone)
        to_nginx, to_bare, to_alone = (ratio(series[2], series[i]) for i in (0, 1, 3))
        return Result(
            "A1",
            "GET /api/v1/ad, 1 000 ads",
            series,
            [
                Target("of nginx", to_nginx, at_least=0.6),
                Target("of bare ASGI", to_bare, at_least=1.8),
                Target("of one worker", to_alone),
            ],
            {"mean_body_bytes": size},
        )

    def a2(self) -> Result:
        """The edge pool at 1 000 ads, beside bare WSGI and the api pool."""
        catalog, size = self.catalog(1000), self.body_bytes
        packages = meinheld(self._directory / "meinheld")
        with (
            running(catalog.edge()) as ours,
            running(catalog.api()) as api,
            bare_wsgi(body_bytes=size, packages=packages) as bare,
        ):
            series = self._alternate(bare, api, ours)
        targets = [
            Target("of bare WSGI", ratio(series[2], series[0]), at_least=0.85),
            Target("of the api", ratio(series[2], series[1])),
        ]
        return Result("A2", "the same on the edge", series, targets, {"mean_body_bytes": size})

    def a3(self) -> Result:
        """The api pool at growing sizes, beside itself at 1 000 ads."""
        counts = [n for n in (1_000, 10_000, 100_000, 1_000_000) if n <= self._effort.most_ads]
        catalogs = [self.catalog(count) for count in counts]
        with ExitStack() as stack:
            servers = [stack.enter_context(running(catalog.api())) for catalog in catalogs]
            series = self._alternate(*servers)
            memory = [server.worker_rss_bytes() for server in servers]
        least = {100_000: 0.8, 1_000_000: 0.6}
        targets = [
            Target(f"at {count} ads, of A1", ratio(each, series[0]), at_least=least.get(count))
            for count, each in zip(counts[1:], series[1:], strict=True)
        ]
        if counts[-1] == 1_000_000:
            gib = (memory[-1] - memory[0]) / 2**30
            targets.append(Target("GiB a worker at 1 000 000", gib, at_most=1.5))
        return Result("A3", "the same at size", series, targets, {"rss_bytes": memory})

    def a4(self) -> Result:
        """A1 while ads are written, beside A1 and beside nginx under the same writes."""
        catalog = self.catalog(1000)
        quiet, busy = Series("api, quiet"), Series(f"api, {WRITES_PER_S} writes/s")
        idle, disturbed = Series("nginx, quiet"), Series("nginx, under the same writes")
        # What the writer says of its time beside nginx, when the api is idle, does not count.
        written, ignored = list[Report](), list[Report]()
        with (
            running(catalog.api()) as ours,
            nginx(self._directory / "nginx", body_bytes=self.body_bytes) as constant,
            Writer(catalog, port=ours.port, writes_per_s=WRITES_PER_S) as writer,
        ):
            runs = [
                (ours, quiet, None),
                (ours, busy, written),
                (constant, idle, None),
                (constant, disturbed, ignored),
            ]
            for number in range(self._runs):
                for server, series, reports in back_and_forth(runs, number):
                    with nullcontext() if reports is None else writer.writing(reports):
                        measure(server, series, script=SCRIPT, duration_s=_RUN_S, seed=number + 1)
        visible_ms = [ms for each in written for ms in each["visible_ms"]]
        p99_ms = quantiles(visible_ms, n=100)[98]
        rate = median(each["writes_per_s"] for each in written)
        targets = [
            Target("of A1", ratio(busy, quiet), at_least=0.9),
            Target("nginx under the same writes, of nginx", ratio(disturbed, idle)),
            Target("p99 ms until all workers show a write", p99_ms, at_most=1000),
            Target("writes/s", rate, at_least=0.98 * WRITES_PER_S),
        ]
        return Result("A4", "A1 under writes", [quiet, busy, idle, disturbed], targets, {})

    def a5(self) -> Result:
        """Seconds from starting the api pool until it is ready with 100 000 ads."""
        catalog = self.catalog(min(100_000, self._effort.most_ads))
        ours, bare = [], []
        for _ in range(self._effort.rounds):
            ours.append(_seconds_to_ready(catalog.api(), wait_ready))
            bare.append(_seconds_to_ready(bare_asgi(body_bytes=1), lambda server: 0.0))
        targets = [
            Target("s to /readyz", median(ours), at_most=5.0),
            Target("s for bare ASGI to listen", median(bare)),
        ]
        return Result("A5", f"warm start, {catalog.count} ads", [], targets, {"seconds": ours})

    def a6(self) -> Result:
        """Ads created and changed over HTTP, on the fast path and, because of a query, by Django's
        view.
        """
        catalog = self.catalog(1000)
        os.environ["AD_TOKEN"] = catalog.operator_token()
        os.environ["AD_IDS"] = " ".join(catalog.ad_ids())
        scripts = {"created": "creates.lua", "changed": "changes.lua"}
        ways = {"": "", " by Django's view": "?cold"}
        series = {(what, way): Series(f"{what}{way}") for what in scripts for way in ways}
        with running(catalog.api()) as ours:
            for _ in range(self._effort.rounds):
                for (what, way), each in series.items():
                    os.environ["WRITE_QUERY"] = ways[way]
                    self._write(ours, each, script=scripts[what])
        targets = [
            Target(
                f"{what}, of Django's view",
                ratio(*[series[what, way] for way in ways]),
                at_least=2.0,
            )
            for what in scripts
        ]
        title = "ads created and changed, 8 clients"
        return Result("A6", title, list(series.values()), targets, {})

    def _write(self, server: Server, series: Series, *, script: str) -> None:
        before_s = server.cpu_s()
        load = run_wrk(
            server.url,
            script=script,
            duration_s=self._effort.duration_s,
            connections=_WRITING_CLIENTS,
        )
        series.cpu_us.append((server.cpu_s() - before_s) / max(load.requests, 1) * 1e6)
        series.loads.append(load)


def _seconds_to_ready(server: Server, wait: Callable[[Server], float]) -> float:
    started_s = time.monotonic()
    with server:
        wait(server)
        return time.monotonic() - started_s
