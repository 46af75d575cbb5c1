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
# Of a hundred questions in the mode `mixed`.
_LOGINS_MIXED = 10
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
    outcome, lock = Outcome(), threading.Lock()
    turns = itertools.count()
    begun_s = clock()

    def client() -> None:
        answered: Counter[str] = Counter()
        errors: Counter[str] = Counter()
        chooser = random.Random()  # noqa: S311 - for load, not for secrets
        while True:
            now_s = clock()
            due_s = begun_s + next(turns) / plan.rate if plan.rate else now_s
            if due_s - begun_s >= plan.duration_s:
                break
            if due_s > now_s:
                sleep(due_s - now_s)
            try:
                kind = _ask(door, plan, tokens, chooser)
            except (LoadError, BusyError) as error:
                errors[str(error) if len(errors) < _ERRORS_KEPT else "others"] += 1
            else:
                answered[kind] += 1
                timings.observe(kind, clock() - due_s)
        with lock:
            outcome.answered.update(answered)
            outcome.errors.update(errors)

    threads = [threading.Thread(target=client) for _ in range(plan.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcome.took_s = clock() - begun_s
    return outcome


def _ask(door: Door, plan: Plan, tokens: Sequence[str], chooser: random.Random) -> str:
    """Ask one question; gives its kind."""
    if plan.mode == "login" or (plan.mode == "mixed" and chooser.randrange(100) < _LOGINS_MIXED):
        door.login(username=chooser.choice(plan.usernames), password=plan.password)
        return "login"
    door.validate(token=chooser.choice(tokens))
    return "validate"
