"""T1 to T3: measurements over HTTP, one by one and in bursts, and questions while they arrive."""

import math
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.ads import Effort
from benchmarks.house import Catalog, running
from benchmarks.references import bare_asgi
from benchmarks.report import Result, Target
from benchmarks.rounds import alternate, ratio
from benchmarks.servers import PYTHON, ROOT, WORKERS
from timeseries.load.mix import Mix
from timeseries.load.producing import Plan, Produced, produce
from timeseries.load.querying import Asked, Asking, ask_all

SCRIPT = "saves.lua"
# Of the answer `{}`; the reference answers with as much.
_BODY_BYTES = 2
_TAGS = 10_000
_BURST, _PEAK, _AVERAGE = 200_000, 50_000, 10_000
_PEAK_S = 60.0
_NEVER = threading.Event()


def t1(house: Catalog, effort: Effort) -> Result:
    """Single messages, on disk before the answer, beside bare ASGI."""
    with ExitStack() as stack:
        ours, alone = (
            stack.enter_context(running(house.api(workers=workers), workers=workers))
            for workers in (WORKERS, 1)
        )
        bare = stack.enter_context(bare_asgi(body_bytes=_BODY_BYTES))
        stack.enter_context(writing(house))
        series = alternate(
            [bare, ours, alone], script=SCRIPT, rounds=effort.rounds, duration_s=effort.duration_s
        )
    for each, name in zip(series, ("bare ASGI", "on disk", "on disk, 1 worker"), strict=True):
        each.name = name
    targets = [
        Target("of bare ASGI, on disk before the answer", ratio(series[1], series[0]), 0.9),
        Target("of one worker", ratio(series[1], series[2])),
    ]
    return Result("T1", "POST /save, 10 values, 10 000 tags", series, targets, {})


def t2(house: Catalog, effort: Effort) -> Result:
    """200 000 messages in a second, then 50 000 a second for a minute, and when they are seen."""
    # As long as the effort asks for, and the minute of the target when it asks for the usual.
    peak_s = min(_PEAK_S, 12.0 * effort.duration_s)
    with running(house.api()) as server, writing(house), looking(server.url) as asked:
        burst = _produce(server.url, Plan(rate=_BURST, burst=0, duration_s=1.0))
        peak = _produce(server.url, Plan(rate=_PEAK, burst=0, duration_s=peak_s))
    lag_s = math.nan if asked.lag_s is None else asked.lag_s
    errors = sum(each.figures.error_count for each in (burst, peak)) + asked.lags.error_count
    targets = [
        Target("s behind the plan, 200 000 in a second", burst.behind_s, at_most=1.0),
        Target(f"s behind the plan, 50 000/s for {peak_s:.0f} s", peak.behind_s, at_most=1.0),
        Target("s until a message is in the answers, at most", lag_s, at_most=2.0),
        Target("errors", errors, at_most=0),
    ]
    facts = {"messages": burst.messages + peak.messages, "batches": peak.figures.words()}
    return Result("T2", "POST /save/batch, bursts", [], targets, facts)


def t3(house: Catalog, effort: Effort) -> Result:
    """Ten questions a second for 24 h of the top 100 tags, while 10 000 messages/s arrive."""
    duration_s = 4.0 * effort.duration_s
    with running(house.api()) as server, writing(house):
        plan = Plan(rate=_AVERAGE, burst=0, duration_s=duration_s + 10)
        producer = threading.Thread(target=_produce, args=(server.url, plan))
        producer.start()
        asked = ask_all(_asking(server.url, 10, duration_s), wait=_NEVER.wait, report=_nothing)
        producer.join()
    p50_s, p99_s = (asked.answers.percentile_s(share) for share in (0.5, 0.99))
    targets = [
        Target("p99 ms of GET /api", p99_s * 1000, at_most=25.0),
        Target("p50 ms", p50_s * 1000),
        Target("errors", asked.answers.error_count + asked.lags.error_count, at_most=0),
    ]
    facts = {"questions": len(asked.answers.durations_s), "lag": asked.lags.words()}
    return Result("T3", "GET /api, 24 h, top 100 tags, 10/s", [], targets, facts)


def _asking(url: str, clients: int, duration_s: float) -> Asking:
    return Asking(url, clients, rate=1.0, tags=100, window_s=86_400.0, duration_s=duration_s)


def _produce(url: str, plan: Plan) -> Produced:
    mix = Mix(tags=_TAGS)
    return produce(url=url, mix=mix, plan=plan, connections=4, wait=_NEVER.wait, report=_nothing)


def _nothing(_: object) -> None:
    """The result says it all."""


@contextmanager
def looking(url: str) -> Iterator[Asked]:
    """Measures, as long as the context lasts, when a message is in the answers."""
    found, stopping = Asked(), threading.Event()

    def look() -> None:
        asked = ask_all(_asking(url, 0, math.inf), wait=stopping.wait, report=_nothing)
        found.lags = asked.lags

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        stopping.set()
        thread.join()


@contextmanager
def writing(house: Catalog) -> Iterator[None]:
    """The writer of the house's time series, running."""
    environment = {**os.environ, **house.environment(house.directory)}
    command = [PYTHON, "manage.py", "write_timeseries"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            yield
            if process.poll() is not None:
                raise RuntimeError("the writer ended")
        finally:
            process.terminate()
