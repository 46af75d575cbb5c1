"""How long each stage of a request about an account takes, as Prometheus metrics. Pure.

| stage | is |
| --- | --- |
| `get_connection` | getting a connection to PostgreSQL |
| `cache_hit` | sessions that were asked for together found in Redis |
| `cache_miss` | the same, and some not found |
| `database` | sessions looked for in PostgreSQL together |
| `token_update` | a new session, or a batch of last uses, written to PostgreSQL |
| `hash` | a password hashed, waiting for a thread included |
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from time import perf_counter

from prometheus_client import Counter, Histogram

from runtime.http.stats import LATENCY_BOUNDS_S
from runtime.metrics import new_counter, new_histogram

STAGES = ("get_connection", "cache_hit", "cache_miss", "database", "token_update", "hash")


@cache
def _stages() -> Histogram:
    return new_histogram(
        "accounts_stage_seconds",
        "Seconds that a stage of a request about an account took.",
        ("stage",),
        bounds=LATENCY_BOUNDS_S,
    )


@cache
def _checks() -> Counter:
    return new_counter(
        "accounts_session_checks",
        "Session checks, by what answered them.",
        ("answered_by",),
    )


@cache
def _logins() -> Counter:
    return new_counter("accounts_logins", "Logins, by how they ended.", ("result",))


def observe_stage(stage: str, duration_s: float) -> None:
    """Count one run of a stage."""
    _stages().labels(stage).observe(duration_s)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count what happens inside as one run of a stage."""
    started_s = perf_counter()
    try:
        yield
    finally:
        observe_stage(name, perf_counter() - started_s)


def count_checks(answered_by: str, count: int = 1) -> None:
    """Count session checks that `memory`, `redis` or `database` answered."""
    _checks().labels(answered_by).inc(count)


def count_login(result: str) -> None:
    """Count a login: `verified`, `remembered`, `refused`, `locked` or `busy`."""
    _logins().labels(result).inc()
