"""The clients: each asks for samples of a frequent tag at a steady rate; one looks at the lag."""

import threading
import time
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec

from timeseries.load.asking import Connection, Figures
from timeseries.load.mix import tag_name

PROBE_TAG = "lag-probe"
_POLL_S = 0.02
_SEEN_TIMEOUT_S = 30.0
_NS_PER_S = 1_000_000_000
# What a probe's answer holds, as far as it matters.
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Asking(NamedTuple):
    """`clients` ask `rate` times a second each, for `window_s` of one of the `tags` first tags."""

    url: str
    clients: int
    rate: float
    tags: int
    window_s: float
    duration_s: float


class Asked:
    """What was measured: answers, and the lags from a message's acceptance to its being seen."""

    def __init__(self) -> None:
        self.answers = Figures()
        self.lags = Figures()

    @property
    def lag_s(self) -> float | None:
        """The longest lag; None when none was measured."""
        return max(self.lags.durations_s, default=None)


def ask_all(
    asking: Asking, *, wait: Callable[[float], bool], report: Callable[[Asked], None]
) -> Asked:
    """Ask until the time is over or `wait` says stop; `report` about every second."""
    asked, stopping = Asked(), threading.Event()
    if asking.clients:
        _wait_for_tags(asking, wait)
    threads = [
        threading.Thread(target=_ask, args=(asking, place, asked, stopping), daemon=True)
        for place in range(asking.clients)
    ]
    threads.append(threading.Thread(target=_probe, args=(asking, asked, stopping), daemon=True))
    for thread in threads:
        thread.start()
    give_up_s = time.monotonic() + asking.duration_s
    while time.monotonic() < give_up_s and not wait(1.0):
        report(asked)
    stopping.set()
    for thread in threads:
        thread.join()
    return asked


def _wait_for_tags(asking: Asking, wait: Callable[[float], bool]) -> None:
    """Until there is the least frequent tag that will be asked for, but not for long."""
    connection, give_up_s = Connection(asking.url), time.monotonic() + _SEEN_TIMEOUT_S
    now_ns = time.time_ns()
    query = {"tag": tag_name(asking.tags - 1), "start": now_ns - 1, "end": now_ns, "samples": 1}
    while connection.ask("GET", f"/api?{urlencode(query)}").status != 200:
        if time.monotonic() > give_up_s or wait(0.5):
            break
    connection.close()


def _ask(asking: Asking, place: int, asked: Asked, stopping: threading.Event) -> None:
    connection = Connection(asking.url)
    random = Random(place)  # noqa: S311 - nobody gains from guessing it
    # Clients do not all ask at the same moment.
    next_s = time.monotonic() + place / asking.clients / asking.rate
    while not stopping.wait(max(0.0, next_s - time.monotonic())):
        next_s += 1.0 / asking.rate
        end_ns = time.time_ns()
        start_ns = end_ns - int(asking.window_s * _NS_PER_S)
        query = {"tag": tag_name(random.randrange(asking.tags)), "start": start_ns, "end": end_ns}
        reply = connection.ask("GET", f"/api?{urlencode(query)}")
        asked.answers.add(reply.status, reply.duration_s)
    connection.close()


def _probe(asking: Asking, asked: Asked, stopping: threading.Event) -> None:
    """Save a message once a second, and look until it is in the answers."""
    connection, number = Connection(asking.url), 0
    while not stopping.wait(1.0):
        number += 1
        time_ns = time.time_ns()
        body = msgspec.json.encode({"time": time_ns, "tag": PROBE_TAG, "values": [number]})
        reply = connection.ask("POST", "/save", body)
        if reply.status != 200:
            asked.lags.add(reply.status, reply.duration_s)
            continue
        began_s = time.monotonic()
        query = {"tag": PROBE_TAG, "start": time_ns - 1, "end": time_ns, "samples": 1}
        path = f"/api?{urlencode(query)}"
        while not _seen(connection, path, number):
            if time.monotonic() - began_s > _SEEN_TIMEOUT_S:
                asked.lags.add(0, _SEEN_TIMEOUT_S)
                break
            time.sleep(_POLL_S)
        else:
            asked.lags.add(200, time.monotonic() - began_s)
    connection.close()


def _seen(connection: Connection, path: str, number: int) -> bool:
    reply = connection.ask("GET", path)
    # Before the first one is stored, the tag is unknown.
    return reply.status == 200 and _decode(reply.body)["samples"][0]["values"] == [number]
