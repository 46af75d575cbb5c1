"""Writes ads at a steady rate and measures when every worker shows them.

A process of its own: `python -m benchmarks.writer PORT RATE`, on the catalog that the environment
names. A line begins the writing and the next one ends it; then it answers with a line of JSON:
writes, the rate that was reached, and the times in milliseconds from a commit until all of several
connections, spread over the workers, show it.
"""

import itertools
import json
import random
import re
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from io import RawIOBase
from select import select

import django

CONNECTIONS = 8
# Looking costs the server requests: every so many writes one is followed to its end.
FOLLOWED_EVERY = 50
_LOOK_EVERY_S = 0.05
_GIVE_UP_S = 10.0
_LOOK = b"GET /api/v1/ad?limit=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_VERSION = re.compile(rb"\r\nx-catalog-version: *(\d+)", re.IGNORECASE)

Report = dict[str, object]


class Watch:
    """Connections to the pool; with eight of them, hardly ever all to the same worker.

    On plain sockets: with http.client the looks cost this process as much as the writes.
    """

    def __init__(self, port: int) -> None:
        self._connections = [
            socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(CONNECTIONS)
        ]

    def seconds_until(self, version: int) -> float:
        """Seconds until every connection answers from `version` or later."""
        started_s = time.monotonic()
        for connection in self._connections:
            while self._version(connection) < version:
                if time.monotonic() - started_s > _GIVE_UP_S:
                    raise TimeoutError(f"version {version} is not visible after {_GIVE_UP_S} s")
                time.sleep(_LOOK_EVERY_S)
        return time.monotonic() - started_s

    @staticmethod
    def _version(connection: socket.socket) -> int:
        connection.sendall(_LOOK)
        answer, length = b"", 1
        while len(answer) < length:
            more = connection.recv(65_536)
            if not more:
                raise ConnectionError("the pool ended a connection")
            answer += more
            head, ended, _ = answer.partition(b"\r\n\r\n")
            length = len(head) + 4 + _number(_LENGTH, head) if ended else len(answer) + 1
        return _number(_VERSION, answer)


def _number(pattern: re.Pattern[bytes], answer: bytes) -> int:
    found = pattern.search(answer)
    if found is None:
        raise ValueError(f"not what a visitor is answered: {answer[:200]!r}")
    return int(found[1])


def write(watch: Watch, change_one: Callable[[], int], rate: int, lines: RawIOBase) -> Report:
    """Change ads, one transaction each, `rate` times a second, until there is a line to read."""
    count, started_s = 0, time.monotonic()
    # Beside the writes, which go on meanwhile.
    with ThreadPoolExecutor(1) as follower:
        followed: list[Future[float]] = []
        while not _told_until(lines, started_s + count / rate):
            version = change_one()
            count += 1
            if count % FOLLOWED_EVERY == 0 and all(each.done() for each in followed):
                followed.append(follower.submit(watch.seconds_until, version))
        reached = count / (time.monotonic() - started_s)
        visible_ms = [each.result() * 1000 for each in followed]
    return {"writes": count, "writes_per_s": round(reached, 1), "visible_ms": visible_ms}


def _told_until(lines: RawIOBase, due_s: float) -> bool:
    """Whether there is a line to read, now or at the latest then, by `time.monotonic`."""
    readable, _, _ = select([lines], [], [], max(0.0, due_s - time.monotonic()))
    return bool(readable)


def changes() -> Callable[[], int]:
    """What changes a random ad's title and gives the catalog's version with it."""
    from msgspec.structs import replace

    from adserver.models import Ad
    from adserver.records import Actor
    from adserver.services import ad_change

    ad_ids = list(Ad.objects.values_list("id", flat=True)[:1000])
    chooser, numbers = random.Random(1), itertools.count()

    def change_one() -> int:
        change = partial(replace, title=f"Changed {next(numbers)} times")
        return ad_change(
            ad_id=chooser.choice(ad_ids), change=change, actor=Actor("benchmark")
        ).version

    return change_one


def main(port: int, rate: int) -> None:
    """Write between each line and the next."""
    django.setup()
    watch, change_one = Watch(port), changes()
    # Without a buffer, in which `select` would not see a line.
    with open(0, "rb", buffering=0) as lines:
        while lines.readline():
            print(json.dumps(write(watch, change_one, rate, lines)), flush=True)
            lines.readline()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
