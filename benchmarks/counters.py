"""C1 to C3: single increments, batches until they are in PostgreSQL, and how far that is behind."""

import json
import os
import subprocess
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import psycopg
import redis

from benchmarks.ads import Effort
from benchmarks.house import Catalog, running
from benchmarks.load import CONNECTIONS, run_wrk
from benchmarks.references import bare_asgi
from benchmarks.report import Result, Target
from benchmarks.rounds import alternate, ratio
from benchmarks.servers import PYTHON, ROOT, WORKERS, Server
from tests.support.stores import Stores

SCRIPT = "increments.lua"
# Of the answer `{}`; the references answer with as much.
_BODY_BYTES = 2
BATCH_KEYS = 10_000
_DRAINED_MOST_S = 60.0
_PROBE_EVERY_S = 0.1
_LOOK_EVERY_S = 0.02


class CountersBenchmarks:
    """The benchmarks over one set of throw-away stores, on disk as in production."""

    def __init__(self, stores: Stores, directory: Path, effort: Effort) -> None:
        self._stores = stores
        self._directory = directory
        self._effort = effort
        self._house = Catalog(stores, directory, count=1)

    def c1(self) -> Result:
        """Single increments, on disk before the answer and once a second, beside bare ASGI."""
        effort = self._effort
        with ExitStack() as stack:
            ours, alone = (
                stack.enter_context(running(self._house.api(workers=workers), workers=workers))
                for workers in (WORKERS, 1)
            )
            lazy = stack.enter_context(self._lazy_house())
            bare = stack.enter_context(bare_asgi(body_bytes=_BODY_BYTES))
            stack.enter_context(drain(self._house))
            series = alternate(
                [bare, ours, lazy, alone],
                script=SCRIPT,
                rounds=effort.rounds,
                duration_s=effort.duration_s,
            )
        names = ("bare ASGI", "on disk", "everysec", "on disk, 1 worker")
        for each, name in zip(series, names, strict=True):
            each.name = name
        targets = [
            Target("of bare ASGI, on disk before the answer", ratio(series[1], series[0]), 1.0),
            Target("of bare ASGI, on disk once a second", ratio(series[2], series[0]), 1.4),
            Target("of one worker", ratio(series[1], series[3])),
        ]
        return Result("C1", "POST /increment, 1 000 keys", series, targets, {})

    @contextmanager
    def _lazy_house(self) -> Iterator[Server]:
        """The same on a Redis that brings its log to the disk once a second."""
        with Stores() as stores:
            redis.Redis.from_url(stores.redis_url).config_set("appendfsync", "everysec")
            house = Catalog(stores, self._directory / "lazy", count=1)
            with running(house.api()) as server, drain(house):
                yield server

    def c2(self) -> Result:
        """Batches of 1 000, 100 and 10 increments, until every one of them is in PostgreSQL."""
        targets, facts = [], {}
        with running(self._house.api()) as server, drain(self._house):
            for size in (1_000, 100, 10):
                sent, behind_s, wrong = self._batches(server, size)
                rate = sent["increments"] / sent["seconds"]
                main = size == 1_000
                targets += [
                    Target(
                        f"increments/s accepted in batches of {size}",
                        rate,
                        at_least=1_000_000 if main else None,
                    ),
                    Target("s until all are in PostgreSQL", behind_s, at_most=10.0),
                    Target("keys with a wrong sum", wrong, at_most=0),
                    Target("errors", sent["errors"], at_most=0),
                ]
                p50, p99 = percentiles(sent["latencies_ms"])
                facts[f"batches of {size}"] = {
                    "increments": sent["increments"],
                    "p50_ms": round(p50, 2),
                    "p99_ms": round(p99, 2),
                }
        return Result("C2", "POST /increment/batch, 10 000 keys", [], targets, facts)

    def _batches(self, server: Server, size: int) -> tuple[dict[str, Any], float, int]:
        """Send for a while; what was sent, how long the drain took for the rest, wrong sums."""
        words = [str(server.port), str(2 * self._effort.duration_s), str(size)]
        words += [str(BATCH_KEYS), str(CONNECTIONS)]
        command = [PYTHON, "-m", "benchmarks.batches", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        sent: dict[str, Any] = json.loads(done.stdout)
        give_up_s = sent["ended_at"] + _DRAINED_MOST_S
        with psycopg.connect(self._house.database_url, autocommit=True) as connection:
            while (found := _totals(connection, sent["totals"])) != sent["totals"]:
                if time.time() > give_up_s:
                    break
                time.sleep(_LOOK_EVERY_S)
        behind_s = time.time() - sent["ended_at"]
        wrong = sum(found.get(key) != value for key, value in sent["totals"].items())
        return sent, behind_s, wrong

    def c3(self) -> Result:
        """How far PostgreSQL is behind while C1 runs."""
        with running(self._house.api()) as server, drain(self._house):
            probe = Probe(server.url, self._house.database_url)
            with probe:
                load = run_wrk(server.url, script=SCRIPT, duration_s=2 * self._effort.duration_s)
            p50, p99 = percentiles(sorted(probe.behind_s))
        targets = [
            Target("p99 s from the answer until it is in PostgreSQL", p99, at_most=2.0),
            Target("p50 s", p50),
            Target("increments that were not seen there", probe.lost, at_most=0),
            Target("failed requests", load.errors, at_most=0),
        ]
        facts = {"requests_per_s": round(load.requests_per_s), "probes": len(probe.behind_s)}
        return Result("C3", "lag under C1", [], targets, facts)


class Probe:
    """Sends an increment of a new key ten times a second, and looks when PostgreSQL has it."""

    def __init__(self, url: str, database_url: str) -> None:
        self.behind_s: list[float] = []
        self.lost = 0
        self._url = url
        self._database_url = database_url
        self._answered_s: dict[str, float] = {}
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._send, self._look)]

    def _send(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._stopping.wait(_PROBE_EVERY_S):
                key = str(uuid.uuid4())
                client.post("/increment", json={"key": key, "value": 1}).raise_for_status()
                self._answered_s[key] = time.monotonic()

    def _look(self) -> None:
        query = "SELECT key::text FROM counters_counter WHERE key = ANY(%s::uuid[])"
        give_up_s = None
        with psycopg.connect(self._database_url, autocommit=True) as connection:
            while give_up_s is None or (self._answered_s and time.monotonic() < give_up_s):
                if give_up_s is None and self._stopping.is_set():
                    self._threads[0].join()
                    give_up_s = time.monotonic() + _DRAINED_MOST_S
                for (key,) in connection.execute(query, [list(self._answered_s)]).fetchall():
                    self.behind_s.append(time.monotonic() - self._answered_s.pop(key))
                time.sleep(_LOOK_EVERY_S)
        self.lost = len(self._answered_s)

    def __enter__(self) -> "Probe":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def drain(house: Catalog) -> Iterator[None]:
    """A drain of the house's counters, running."""
    environment = {**os.environ, **house.environment(house.directory)}
    command = [PYTHON, "manage.py", "drain_counters"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            yield
            if process.poll() is not None:
                raise RuntimeError("the drain ended")
        finally:
            process.terminate()


def percentiles(numbers: list[float]) -> tuple[float, float]:
    """The median and the 99th percentile."""
    cuts = quantiles(numbers, n=100)
    return cuts[49], cuts[98]


def _totals(connection: psycopg.Connection[Any], keys: Iterable[str]) -> dict[str, int]:
    query = "SELECT key::text, value FROM counters_counter WHERE key = ANY(%s::uuid[])"
    return dict(connection.execute(query, [list(keys)]).fetchall())
