"""The producer: batches of made-up measurements at a steady rate, and bursts."""

import math
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import NamedTuple

from timeseries.load.asking import Connection, Figures
from timeseries.load.mix import Mix
from timeseries.messages import BATCH_MAX

_TICK_S = 0.1


class Plan(NamedTuple):
    """`rate` messages a second for `duration_s`, and in each first second of a minute `burst`."""

    rate: int
    burst: int
    duration_s: float

    def due(self, elapsed_s: float) -> int:
        """How many messages are due once so many seconds have passed."""
        minutes, second_s = divmod(max(0.0, elapsed_s), 60.0)
        bursts = (minutes + min(1.0, second_s)) * self.burst
        return int(elapsed_s * self.rate + bursts)


class Produced:
    """What was accepted, how fast, and how far behind its plan the producer was at most."""

    def __init__(self) -> None:
        self.figures = Figures()
        self.messages = 0
        self.behind_s = 0.0
        self.lock = threading.Lock()


def produce(
    *,
    url: str,
    mix: Mix,
    plan: Plan,
    connections: int,
    wait: Callable[[float], bool],
    report: Callable[[Produced], None],
) -> Produced:
    """Send what the plan says until it is over or `wait` says stop; `report` about every second."""
    produced, began_s = Produced(), time.monotonic()
    queue: SimpleQueue[tuple[bytes, int] | None] = SimpleQueue()
    senders = [
        threading.Thread(target=_send, args=(url, queue, produced), daemon=True)
        for _ in range(connections)
    ]
    for sender in senders:
        sender.start()
    _fill(mix, plan, queue, produced, wait, report)
    for _ in senders:
        queue.put(None)
    for sender in senders:
        sender.join()
    if not wait(0):
        # What was due at the end has been accepted only now.
        late_s = time.monotonic() - began_s - plan.duration_s
        produced.behind_s = max(produced.behind_s, late_s)
    return produced


def _fill(
    mix: Mix,
    plan: Plan,
    queue: "SimpleQueue[tuple[bytes, int] | None]",
    produced: Produced,
    wait: Callable[[float], bool],
    report: Callable[[Produced], None],
) -> None:
    began_s, made, reported_s = time.monotonic(), 0, 0.0
    while True:
        elapsed_s = time.monotonic() - began_s
        due = plan.due(min(elapsed_s, plan.duration_s))
        while made < due:
            count = min(due - made, BATCH_MAX)
            end_ns = time.time_ns()
            queue.put((mix.body(range(end_ns - count, end_ns)), count))
            made += count
        _note_behind(plan, produced, made, elapsed_s)
        if elapsed_s - reported_s >= 1.0:
            reported_s = elapsed_s
            report(produced)
        if elapsed_s >= plan.duration_s or wait(_TICK_S):
            return


def _note_behind(plan: Plan, produced: Produced, made: int, elapsed_s: float) -> None:
    """How long ago what was just accepted was due, at the plan's steady rate."""
    late = plan.due(min(elapsed_s, plan.duration_s)) - produced.messages
    fastest = max(plan.rate, plan.burst, 1)
    behind_s = late / fastest if made else math.nan
    produced.behind_s = max(produced.behind_s, behind_s)


def _send(url: str, queue: "SimpleQueue[tuple[bytes, int] | None]", produced: Produced) -> None:
    connection = Connection(url)
    while (each := queue.get()) is not None:
        body, count = each
        reply = connection.ask("POST", "/save/batch", body)
        produced.figures.add(reply.status, reply.duration_s)
        if reply.status == 200:
            with produced.lock:
                produced.messages += count
    connection.close()
