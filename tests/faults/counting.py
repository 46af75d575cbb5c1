"""Clients that send increments and keep a journal of what they were told, and what must hold."""

import http.client
import json
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from tests.faults.support import AtWork, database
from tests.support.stack import Stack, wait_until

DRAINED_TIMEOUT_S = 60.0
_REQUEST_TIMEOUT_S = 30.0
_PAUSE_S = 0.01
_BATCH = 10
# A client that retries until it succeeds gives up after this long.
_PATIENCE_S = 60.0


class Journal:
    """By key: what was accepted (200), and what nobody knows (no answer). Refusals add nothing."""

    def __init__(self) -> None:
        self.accepted: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.refusals = 0
        self.odd: list[str] = []

    def __add__(self, other: "Journal") -> "Journal":
        both = Journal()
        both.accepted = self.accepted + other.accepted
        both.unknown = self.unknown + other.unknown
        both.refusals = self.refusals + other.refusals
        both.odd = self.odd + other.odd
        return both


class Client:
    """Sends random increments of some keys until it is stopped.

    `keyed`: every request carries an idempotency key and is sent until it is accepted, so that
    nothing is unknown in the end.
    """

    def __init__(self, port: int, keys: Sequence[str], *, keyed: bool, seed: int) -> None:
        self.journal = Journal()
        self._port = port
        self._keys = keys
        self._keyed = keyed
        self._rng = random.Random(seed)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_REQUEST_TIMEOUT_S)

    def run(self, stopping: threading.Event) -> None:
        while not stopping.wait(_PAUSE_S):
            batch = [
                {"key": self._rng.choice(self._keys), "value": self._rng.randint(1, 1000)}
                for _ in range(self._rng.choice((1, _BATCH)))
            ]
            if self._keyed:
                self._send_until_accepted(batch)
            else:
                self._note(batch, self._send(batch, {}))
        self._connection.close()

    def _send_until_accepted(self, batch: list[dict[str, Any]]) -> None:
        headers = {"Idempotency-Key": uuid.UUID(int=self._rng.getrandbits(128)).hex}
        give_up_s = time.monotonic() + _PATIENCE_S
        while (status := self._send(batch, headers)) != 200:
            if time.monotonic() > give_up_s or status not in (503, None):
                self.journal.odd.append(f"{status} after retries")
                return
            time.sleep(_PAUSE_S)
        self._note(batch, 200)

    def _note(self, batch: list[dict[str, Any]], status: int | None) -> None:
        if status == 503:
            self.journal.refusals += 1
            return
        if status not in (200, None):
            self.journal.odd.append(f"status {status}")
            return
        book = self.journal.accepted if status == 200 else self.journal.unknown
        for each in batch:
            book[each["key"]] += each["value"]

    def _send(self, batch: list[dict[str, Any]], headers: dict[str, str]) -> int | None:
        """The status, or None when no answer came."""
        path, body = ("/increment", batch[0]) if len(batch) == 1 else ("/increment/batch", batch)
        try:
            self._connection.request("POST", path, json.dumps(body), headers)
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return None
        return response.status


class Crowd(AtWork):
    """Many clients at once. Inside the context they send; `journal` is whole afterwards."""

    def __init__(self, stack: Stack, keys: Sequence[str], *, clients: int, seed: int) -> None:
        half = len(keys) // 2
        self._clients = [
            Client(
                stack.port,
                keys[half:] if number % 2 else keys[:half],
                keyed=bool(number % 2),
                seed=seed * 1000 + number,
            )
            for number in range(clients)
        ]
        super().__init__(*(partial(self._work, client) for client in self._clients))

    def _work(self, client: Client) -> None:
        client.run(self.stopping)

    @property
    def journal(self) -> Journal:
        return sum((client.journal for client in self._clients), Journal())

    @property
    def accepted(self) -> int:
        """How much was accepted so far."""
        return sum(sum(client.journal.accepted.values()) for client in self._clients)


class Kept(NamedTuple):
    """What PostgreSQL has: totals, the days of history, and how many dead letters."""

    totals: dict[str, int]
    days: dict[str, int]
    dead: int


def kept(stack: Stack, keys: Sequence[str]) -> Kept:
    with database(stack) as connection:
        totals = connection.execute(
            "SELECT key::text, value FROM counters_counter WHERE key = ANY(%s::uuid[])",
            (list(keys),),
        ).fetchall()
        days = connection.execute(
            "SELECT key::text, sum(value)::bigint FROM counters_history"
            " WHERE width_s = 86400 AND key = ANY(%s::uuid[]) GROUP BY 1",
            (list(keys),),
        ).fetchall()
        dead = connection.execute("SELECT count(*) FROM counters_deadletter").fetchone()
    assert dead is not None
    return Kept(dict(totals), dict(days), dead[0])


def wait_drained(stack: Stack) -> None:
    """Wait until nothing is in the stream any more, by what the product itself says."""

    def drained() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=10)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        lines = [line for line in text.splitlines() if line.startswith("counters_waiting_batches")]
        return bool(lines) and all(line.endswith(" 0.0") for line in lines)

    wait_until(drained, timeout_s=DRAINED_TIMEOUT_S, what="the stream is drained")


def assert_exact(stack: Stack, keys: Sequence[str], journal: Journal) -> None:
    """Accepted ≤ total ≤ accepted + unknown for every key; the history adds up to the total."""
    wait_drained(stack)
    found = kept(stack, keys)
    wrong = {
        key: (journal.accepted[key], found.totals.get(key, 0), journal.unknown[key])
        for key in keys
        if not 0 <= found.totals.get(key, 0) - journal.accepted[key] <= journal.unknown[key]
    }
    assert wrong == {}, f"key: (accepted, total, unknown) of {len(wrong)}"
    assert found.days == found.totals
    assert found.dead == 0
    assert journal.odd == []


def new_keys(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]
