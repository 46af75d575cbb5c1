"""Asks at a steady rate from many threads, and keeps how long everything took.

The rate is kept whatever the server does: the i-th question is due at `i / rate`, and its time
counts from then. A server that stands still for a second so shows in a second's questions.
"""

import itertools
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

from accounts.load.doors import Door, LoadError
from runtime.errors import BusyError

Mode = Literal["validate", "login", "mixed"]
MODES: tuple[Mode, ...] = ("validate", "login", "mixed")
# In the mode `mixed` every tenth question is a login.
_LOGIN_EVERY = 10
_ERRORS_KEPT = 1_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to ask. `rate` is questions a second, 0 for as many as there can be."""

    mode: Mode
    clients: int
    rate: float
    duration_s: float
    usernames: Sequence[str]
    password: str


class Timings:
    """Seconds of each stage, from any number of threads."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._all: list[dict[str, list[float]]] = []

    def observe(self, stage: str, duration_s: float) -> None:
        """Keep one."""
        mine: dict[str, list[float]] | None = getattr(self._local, "stages", None)
        if mine is None:
            mine = self._local.stages = defaultdict(list)
            with self._lock:
                self._all.append(mine)
        mine[stage].append(duration_s)

    def collected(self) -> dict[str, list[float]]:
        """All of them by stage, sorted."""
        stages: dict[str, list[float]] = defaultdict(list)
        for each in self._all:
            for stage, durations_s in each.items():
                stages[stage].extend(durations_s)
        return {stage: sorted(durations_s) for stage, durations_s in stages.items()}

    def clear(self) -> None:
        """Begin anew."""
        for each in self._all:
            each.clear()


@dataclass
class Outcome:
    """What came of it: answers by kind of question, errors by their words, seconds it took."""

    answered: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0


def log_in(door: Door, plan: Plan, *, sessions: int, advance: Callable[[int], None]) -> list[str]:
    """Tokens of `sessions` new sessions, the users in turn. LoadError when one is refused."""
    names = list(itertools.islice(itertools.cycle(plan.usernames), sessions))
    tokens: list[str] = []
    with ThreadPoolExecutor(min(8, plan.clients)) as threads:
        for token in threads.map(
            lambda name: door.login(username=name, password=plan.password), names
        ):
            tokens.append(token)
            if len(tokens) % 100 == 0 or len(tokens) == sessions:
                advance(len(tokens))
    return tokens


def run_load(
    door: Door,
    plan: Plan,
    tokens: Sequence[str],
    timings: Timings,
    *,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Ask until the time is over, and every question that was due then is answered."""
    run = _Run(door, plan, tokens, timings, clock, sleep)
    threads = [threading.Thread(target=run.client) for _ in range(plan.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.outcome.took_s = clock() - run.begun_s
    return run.outcome


class _Run:
    """What the clients of one run share: whose turn is when, and what came of it."""

    def __init__(
        self,
        door: Door,
        plan: Plan,
        tokens: Sequence[str],
        timings: Timings,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self.outcome = Outcome()
        self.begun_s = clock()
        self._door, self._plan, self._tokens, self._timings = door, plan, tokens, timings
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._turns = itertools.count()

    def client(self) -> None:
        """Ask whenever it is due, until the time is over."""
        answered: Counter[str] = Counter()
        errors: Counter[str] = Counter()
        chooser = random.Random()  # noqa: S311 - for load, not for secrets
        while (turn := self._next_turn()) is not None:
            number, due_s = turn
            try:
                kind = _ask(self._door, self._plan, self._tokens, number, chooser)
            except (LoadError, BusyError) as error:
                errors[str(error) if len(errors) < _ERRORS_KEPT else "others"] += 1
            else:
                answered[kind] += 1
                self._timings.observe(kind, self._clock() - due_s)
        with self._lock:
            self.outcome.answered.update(answered)
            self.outcome.errors.update(errors)

    def _next_turn(self) -> tuple[int, float] | None:
        """Wait for a turn; gives its number and when it was due, None when the time is over."""
        now_s, plan = self._clock(), self._plan
        number = next(self._turns)
        due_s = self.begun_s + number / plan.rate if plan.rate else now_s
        if due_s - self.begun_s >= plan.duration_s:
            return None
        if due_s > now_s:
            self._sleep(due_s - now_s)
        return number, due_s


def _ask(door: Door, plan: Plan, tokens: Sequence[str], number: int, chooser: random.Random) -> str:
    """Ask one question; gives its kind."""
    if plan.mode == "login" or (plan.mode == "mixed" and number % _LOGIN_EVERY == 0):
        door.login(username=chooser.choice(plan.usernames), password=plan.password)
        return "login"
    door.validate(token=chooser.choice(tokens))
    return "validate"
