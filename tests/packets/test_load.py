"""`load_accounts`: what it asks at which rate, and the figures it makes of two readings."""

import threading

import pytest

from accounts.load.doors import LoadError, PacketsDoor
from accounts.load.figures import (
    checks_between,
    miss_rate,
    parse_metrics,
    percentile,
    stages_between,
)
from accounts.load.running import Plan, Timings, log_in, run_load
from tests.packets.support import Server

USERS = [f"user{number}" for number in range(5)]


def plan(**changes: object) -> Plan:
    given = {"mode": "validate", "clients": 4, "rate": 200.0, "duration_s": 0.5} | changes
    return Plan(**given, usernames=USERS, password="p")  # type: ignore[arg-type]


class Recorder:
    """A door that notes what it was asked; the token `bad` is refused."""

    def __init__(self) -> None:
        self.logins: list[str] = []
        self._lock = threading.Lock()

    def login(self, *, username: str, password: str) -> str:
        with self._lock:
            self.logins.append(username)
        return f"token of {username}"

    def validate(self, *, token: str) -> None:
        if token == "bad":
            raise LoadError("no such session")

    def close(self) -> None:
        pass


class Time:
    """Time that passes only when somebody sleeps. For one thread."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def clock(self) -> float:
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s


class Timed(Recorder):
    """A door whose answers take a while; notes when it was asked."""

    def __init__(self, time: Time, takes_s: float) -> None:
        super().__init__()
        self.asked_s: list[float] = []
        self._time = time
        self._takes_s = takes_s

    def validate(self, *, token: str) -> None:
        self.asked_s.append(self._time.now_s - 1000.0)
        self._time.now_s += self._takes_s


@pytest.mark.parametrize("clients", [1, 8])
def test_every_question_is_asked_and_timed(clients: int) -> None:
    timings = Timings()
    outcome = run_load(Recorder(), plan(clients=clients, rate=1000), ["good"], timings)
    assert outcome.answered == {"validate": 500}
    assert not outcome.errors
    assert len(timings.collected()["validate"]) == 500


def test_a_question_is_asked_when_it_is_due() -> None:
    time, timings = Time(), Timings()
    door = Timed(time, takes_s=0.001)
    run_load(door, plan(clients=1, rate=100), ["t"], timings, clock=time.clock, sleep=time.sleep)
    assert door.asked_s == pytest.approx([number / 100 for number in range(50)])
    assert timings.collected()["validate"] == pytest.approx([0.001] * 50)


def test_time_counts_from_when_a_question_was_due() -> None:
    time, timings = Time(), Timings()
    door = Timed(time, takes_s=0.05)
    run_load(door, plan(clients=1, rate=100), ["t"], timings, clock=time.clock, sleep=time.sleep)
    # A hundred a second are due, twenty can be answered: each waits for all before it.
    wanted = [0.05 + number * 0.04 for number in range(50)]
    assert timings.collected()["validate"] == pytest.approx(wanted)


def test_without_a_rate_nothing_waits() -> None:
    time, timings = Time(), Timings()
    # A power of two, which adds up without rounding.
    door = Timed(time, takes_s=0.0625)
    run_load(door, plan(clients=1, rate=0), ["t"], timings, clock=time.clock, sleep=time.sleep)
    assert timings.collected()["validate"] == [0.0625] * 8


@pytest.mark.parametrize(("mode", "logins"), [("login", 100), ("mixed", 10)])
def test_modes_mix_logins_and_checks(mode: str, logins: int) -> None:
    door = Recorder()
    answered = run_load(door, plan(mode=mode), ["good"], Timings()).answered
    assert answered.total() == 100
    assert answered["login"] == logins
    assert set(door.logins) <= set(USERS)


def test_what_is_refused_is_counted_by_its_words() -> None:
    outcome = run_load(Recorder(), plan(), ["bad"], Timings())
    assert outcome.errors == {"no such session": 100}
    assert not outcome.answered


def test_sessions_are_opened_beforehand_the_users_in_turn() -> None:
    door = Recorder()
    told: list[int] = []
    tokens = log_in(door, plan(), sessions=7, advance=told.append)
    assert tokens == [f"token of {name}" for name in (*USERS, *USERS[:2])]
    assert told == [7]


def test_packets_are_asked_and_their_refusals_told() -> None:
    timings = Timings()
    with Server() as server:
        door = PacketsDoor("127.0.0.1", server.port, size=2, observe=timings.observe)
        door.validate(token="known-ann")
        with pytest.raises(LoadError, match=r"User\.Token: is no session"):
            door.validate(token="nobody")
        door.close()
    assert set(timings.collected()) == {"get connection", "round trip"}


BEFORE = """
# TYPE accounts_stage_seconds histogram
accounts_stage_seconds_bucket{le="0.001",stage="hash"} 1
accounts_stage_seconds_bucket{le="0.1",stage="hash"} 2
accounts_stage_seconds_bucket{le="+Inf",stage="hash"} 2
accounts_stage_seconds_count{stage="hash"} 2
accounts_stage_seconds_sum{stage="hash"} 0.2
# TYPE accounts_session_checks counter
accounts_session_checks_total{answered_by="redis"} 5
"""
AFTER = """
# TYPE accounts_stage_seconds histogram
accounts_stage_seconds_bucket{le="0.001",stage="hash"} 1
accounts_stage_seconds_bucket{le="0.1",stage="hash"} 100
accounts_stage_seconds_bucket{le="+Inf",stage="hash"} 102
accounts_stage_seconds_count{stage="hash"} 102
accounts_stage_seconds_sum{stage="hash"} 9.0
accounts_stage_seconds_bucket{le="0.001",stage="database"} 3
accounts_stage_seconds_bucket{le="+Inf",stage="database"} 3
accounts_stage_seconds_count{stage="database"} 3
accounts_stage_seconds_sum{stage="database"} 0.001
# TYPE accounts_session_checks counter
accounts_session_checks_total{answered_by="redis"} 25
accounts_session_checks_total{answered_by="database"} 3
"""


def test_figures_are_those_between_two_readings() -> None:
    before, after = parse_metrics(BEFORE), parse_metrics(AFTER)
    database, hashed = stages_between(before, after)
    assert (database.stage, database.count, database.p99_s) == ("database", 3, 0.001)
    assert (hashed.count, hashed.p50_s, hashed.p99_s) == (100, 0.1, float("inf"))
    checks = checks_between(before, after)
    assert checks == {"database": 3, "redis": 20}
    assert miss_rate(checks, 300) == 0.01
    assert stages_between(after, after) == []


def test_percentiles() -> None:
    assert percentile([], 0.5) == 0.0
    assert percentile([1.0], 0.99) == 1.0
    hundred = [float(number) for number in range(1, 101)]
    assert [percentile(hundred, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
