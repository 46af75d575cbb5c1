"""Clients that send measurements and remember what they were told, and what must hold."""

import http.client
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any

from tests.faults.support import AtWork, request
from tests.support.stack import Stack, wait_until

RECOVERED_TIMEOUT_S = 60.0
LAG_MOST_S = 2.0
SENDERS = 4
PAUSE_S = 0.005


class Senders(AtWork):
    """Send batches without a rest, and remember what became of each message, by its time."""

    def __init__(self, stack: Stack) -> None:
        self.tag = f"f{uuid.uuid4().hex[:12]}"
        self.start_ns = time.time_ns()
        self.acknowledged: set[int] = set()
        self.refused: set[int] = set()
        self.unanswered: set[int] = set()
        self.odd: list[bytes] = []
        self._port = stack.port
        self._lock = threading.Lock()
        self._next_ns = self.start_ns
        super().__init__(*[self._send] * SENDERS)

    def _batch(self) -> list[int]:
        with self._lock:
            times_ns = list(range(self._next_ns, self._next_ns + 10))
            self._next_ns += 10
        return times_ns

    def _send(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self.stopping.wait(PAUSE_S):
            times_ns = self._batch()
            messages = [{"time": each, "tag": self.tag, "values": [1.0]} for each in times_ns]
            try:
                connection.request("POST", "/save/batch", json.dumps(messages).encode())
                response = connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self.unanswered.update(times_ns)
                continue
            if response.status == 200:
                self.acknowledged.update(times_ns)
            elif response.status == 503:
                self.refused.update(times_ns)
            else:
                self.odd.append(answer)
        connection.close()

    def wait_acknowledged(self, more: int) -> None:
        """Wait until so many more messages were acknowledged."""
        enough = len(self.acknowledged) + more
        wait_until(
            lambda: len(self.acknowledged) >= enough or self.odd,
            timeout_s=RECOVERED_TIMEOUT_S,
            what=f"{more} more messages are acknowledged",
        )


def state(stack: Stack) -> dict[str, Any]:
    """What `/readyz` shows of the time series; empty while the api cannot be asked."""
    try:
        found: dict[str, Any] = request(stack.port, "GET", "/readyz").body.get("timeseries", {})
    except (OSError, http.client.HTTPException):
        return {}
    return found


def wait_caught_up(stack: Stack) -> None:
    def caught_up() -> bool:
        lag_s = state(stack).get("lag_s")
        return lag_s is not None and lag_s <= LAG_MOST_S

    wait_until(caught_up, timeout_s=RECOVERED_TIMEOUT_S, what="the lag is small again")


def stored(stack: Stack, tag: str, start_ns: int) -> list[int]:
    """The times of all that is stored."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)
    end_ns = start_ns + 10**12
    connection.request("GET", f"/api/export?tag={tag}&start={start_ns}&end={end_ns}")
    response = connection.getresponse()
    lines = response.read().decode().splitlines()
    connection.close()
    if response.status in (404, 503):
        return []  # Nothing of it is stored yet, or the store has just been started.
    assert response.status == 200, lines
    return [int(line.partition(",")[0]) for line in lines[1:]]


def count_of(stack: Stack, tag: str) -> int:
    tags = request(stack.port, "GET", "/api/tags").body["tags"]
    return next((each["count"] for each in tags if each["tag"] == tag), 0)


@contextmanager
def nothing_is_lost(stack: Stack) -> Iterator[Senders]:
    """Messages are sent all the while; at the end what was said of each must be true."""
    with Senders(stack) as senders:
        senders.wait_acknowledged(20)
        yield senders
        senders.wait_acknowledged(20)
    assert senders.odd == []
    wait_until(
        lambda: senders.acknowledged <= set(stored(stack, senders.tag, senders.start_ns)),
        timeout_s=RECOVERED_TIMEOUT_S,
        what="all that was acknowledged is stored",
    )
    wait_caught_up(stack)
    found = stored(stack, senders.tag, senders.start_ns)
    assert len(found) == len(set(found)) == count_of(stack, senders.tag)
    assert senders.refused.isdisjoint(found)
    assert set(found) <= senders.acknowledged | senders.unanswered


def kill_rounds(
    stack: Stack,
    names: Sequence[str],
    rounds: int,
    seed: int,
    beside: Mapping[str, Callable[[], None]] | None = None,
) -> Senders:
    """Kill one of the processes at a random moment, again and again. `beside` are those that no
    supervisor starts again: what kills and starts them.
    """
    others = dict(beside or {})
    random = Random(seed)
    killed_pids: set[int] = set()

    def alive(name: str) -> int | None:
        pid = stack.pids.get(name)
        return None if pid in killed_pids else pid

    with nothing_is_lost(stack) as senders:
        for number in range(rounds):
            name = names[number % len(names)]
            if name not in others:
                pid = wait_until(partial(alive, name), timeout_s=60, what=f"{name} runs")
            time.sleep(random.uniform(0, 0.5))  # The moment is what is under test.
            if name in others:
                others[name]()
            else:
                os.kill(pid, signal.SIGKILL)
                killed_pids.add(pid)
            senders.wait_acknowledged(20)
    return senders
