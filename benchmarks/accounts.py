"""U1 and U3: session checks over HTTP, and logins that have to be hashed; U2 is inherited."""

import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from threading import Thread
from typing import TypeVar

from argon2.low_level import Type, hash_secret_raw

from benchmarks.ads import Effort
from benchmarks.house import running
from benchmarks.load import CONNECTIONS, Load, run_wrk
from benchmarks.packets import _PASSWORD, _TOKENS, USERS, PacketsBenchmarks
from benchmarks.references import bare_asgi
from benchmarks.report import Result, Target
from benchmarks.rounds import Series, alternate, ratio
from benchmarks.servers import WORKERS, Server
from tests.support.stores import Stores

Worker = TypeVar("Worker")
_SCRIPT = "sessions.lua"
_RATES_PER_S = (1_000, 4_000)
_P99_MS_MOST = 4.0
# What `{"username":"seed-500","nickname":"…","image":""}` takes, about.
_BODY_BYTES = 60
_LOGIN_CLIENTS = 16
_MEMORY_KIB = 19_456


class AccountsBenchmarks(PacketsBenchmarks):
    """The benchmarks over one set of throw-away stores."""

    def __init__(self, stores: Stores, directory: Path, effort: Effort) -> None:
        super().__init__(stores, directory, effort)
        self._users = USERS
        tokens = directory / "tokens"
        directory.mkdir(parents=True, exist_ok=True)
        tokens.write_text("\n".join(_TOKENS))
        os.environ["SESSION_TOKENS"] = str(tokens)
        self._numbers = count()

    def u1(self) -> Result:
        """`GET /api/v1/users/me`, 1 000 live sessions, closed loop and at given rates."""
        self._seed(self._effort.most_users)
        with (
            running(self._house.api()) as ours,
            running(self._house.api(workers=1), workers=1) as alone,
            bare_asgi(body_bytes=_BODY_BYTES) as bare,
        ):
            run_wrk(ours.url, script=_SCRIPT, duration_s=2)
            series = alternate(
                (bare, ours, alone),
                script=_SCRIPT,
                rounds=self._effort.rounds,
                duration_s=self._effort.duration_s,
            )
            at_rates = [self._at_rate(ours, rate_per_s) for rate_per_s in _RATES_PER_S]
        targets = [
            Target("of bare ASGI", ratio(series[1], series[0]), at_least=1.5),
            Target("of one worker", ratio(series[1], series[2])),
            *(
                Target(f"p99 ms, {each.loads[0].requests_per_s:.0f}/s", _p99_ms(each), at_most=4.0)
                for each in at_rates
            ),
        ]
        title = f"session checks, {self._users} users, {USERS} sessions"
        return Result("U1", title, [*series, *at_rates], targets, {"users": self._users})

    def u3(self) -> Result:
        """Logins that are hashed, beside bare hashes; and session checks while they run."""
        self._seed(min(100_000, self._effort.most_users))
        bare, ours = Series("bare argon2id"), Series("first logins")
        quiet, busy = Series("checks, quiet"), Series("checks, under logins")
        floor = Series("bare ASGI, under bare hashes")
        with (
            running(self._house.api()) as server,
            bare_asgi(body_bytes=_BODY_BYTES) as constant,
            ProcessPoolExecutor(WORKERS) as processes,
        ):
            run_wrk(server.url, script=_SCRIPT, duration_s=2)
            for _ in range(self._effort.rounds):
                bare.loads.append(self._bare_hashes(processes))
                before_s = server.cpu_s()
                ours.loads.append(self._logins(server))
                spent_s = server.cpu_s() - before_s
                ours.cpu_us.append(spent_s / max(ours.loads[-1].requests, 1) * 1e6)
                quiet.loads.append(self._check_at(server, 1_000))
                with self._meanwhile(self._logins, server):
                    busy.loads.append(self._check_at(server, 1_000))
                with self._meanwhile(self._bare_hashes, processes):
                    floor.loads.append(self._check_at(constant, 1_000))
        for each in (bare, quiet, busy, floor):
            each.cpu_us = [0.0] * len(each.loads)
        targets = [
            Target("of bare hashes", ratio(ours, bare), at_least=0.8),
            Target("p99 ms of checks, quiet", _p99_ms(quiet)),
            Target("p99 ms of checks under logins", _p99_ms(busy), at_most=_P99_MS_MOST),
            Target("p99 ms of bare ASGI under bare hashes", _p99_ms(floor)),
        ]
        return Result("U3", "logins that are hashed", [bare, ours, quiet, busy, floor], targets, {})

    def _seed(self, users: int) -> None:
        if users > self._users:
            more = ("--first", str(self._users), "--count", str(users - self._users))
            self._house.manage("seed_users", *more, "--password", _PASSWORD)
            self._users = users

    def _at_rate(self, server: Server, rate_per_s: int) -> Series:
        series = Series(f"offered {rate_per_s}/s")
        for _ in range(self._effort.rounds):
            before_s = server.cpu_s()
            load = self._check_at(server, rate_per_s)
            series.cpu_us.append((server.cpu_s() - before_s) / max(load.requests, 1) * 1e6)
            series.loads.append(load)
        return series

    def _check_at(self, server: Server, rate_per_s: int) -> Load:
        os.environ["PAUSE_MS"] = str(CONNECTIONS * 1000 // rate_per_s)
        try:
            return run_wrk(server.url, script=_SCRIPT, duration_s=self._effort.duration_s)
        finally:
            del os.environ["PAUSE_MS"]

    def _bare_hashes(self, processes: ProcessPoolExecutor, seconds: float = 0.0) -> Load:
        seconds = seconds or float(self._effort.duration_s)
        done = list(processes.map(_hash_for, [seconds] * WORKERS))
        took_ms = [ms for each in done for ms in each]
        return _load(took_ms, seconds, errors=0)

    @contextmanager
    def _meanwhile(self, work: Callable[[Worker, float], object], worker: Worker) -> Iterator[None]:
        """Work goes on for as long as a run takes, from before it."""
        thread = Thread(target=work, args=(worker, self._effort.duration_s + 1.0))
        thread.start()
        time.sleep(0.5)
        yield
        thread.join()

    def _logins(self, server: Server, seconds: float = 0.0) -> Load:
        """Log in one user after the other, each for the first time."""
        seconds = seconds or float(self._effort.duration_s)
        give_up_s = time.monotonic() + seconds

        def client(_: int) -> list[float]:
            took_ms = []
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            while time.monotonic() < give_up_s:
                took_ms.append(_log_in(connection, next(self._numbers) % self._users))
            connection.close()
            return took_ms

        with ThreadPoolExecutor(_LOGIN_CLIENTS) as clients:
            each_ms = [ms for one in clients.map(client, range(_LOGIN_CLIENTS)) for ms in one]
        good_ms = [ms for ms in each_ms if ms >= 0]
        return _load(good_ms, seconds, errors=len(each_ms) - len(good_ms))


def _log_in(connection: http.client.HTTPConnection, number: int) -> float:
    """Milliseconds until the session was there; -1 if there is none."""
    body = json.dumps({"username": f"seed-{number}", "password": _PASSWORD})
    started_s = time.perf_counter()
    connection.request("POST", "/api/v1/users/login", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return (time.perf_counter() - started_s) * 1000 if answer.status == 200 else -1.0


def _hash_for(seconds: float) -> list[float]:
    """Milliseconds of each hash, one after the other."""
    took_ms = []
    give_up_s = time.monotonic() + seconds
    while time.monotonic() < give_up_s:
        started_s = time.perf_counter()
        hash_secret_raw(
            _PASSWORD.encode(), os.urandom(16), time_cost=2, memory_cost=_MEMORY_KIB,
            parallelism=1, hash_len=32, type=Type.ID,
        )  # fmt: skip
        took_ms.append((time.perf_counter() - started_s) * 1000)
    return took_ms


def _load(took_ms: list[float], seconds: float, *, errors: int) -> Load:
    p99_ms = quantiles(took_ms, n=100)[98] if len(took_ms) > 1 else 0.0
    p50_ms = median(took_ms) if took_ms else 0.0
    return Load(len(took_ms), len(took_ms) / seconds, p50_ms, p99_ms, errors)


def _p99_ms(series: Series) -> float:
    return median(load.p99_ms for load in series.loads)
