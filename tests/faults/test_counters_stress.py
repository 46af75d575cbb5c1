"""Five counters, a thousand requests a second each, for five seconds: all of it, within 10 s."""

import socket
import threading
import time
import uuid
from typing import BinaryIO, cast

import pytest

from tests.faults.counting import kept, new_keys
from tests.support.stack import Stack, wait_until

pytestmark = pytest.mark.xdist_group("faults")

TICKS, PER_TICK, TICK_S = 500, 10, 0.01
BEHIND_MOST_S = 10.0
REQUEST = b"POST /increment HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"


def increment(key: str) -> bytes:
    body = b'{"key":"%b","value":1}' % key.encode()
    return REQUEST % (len(body), body)


def status_of(answers: BinaryIO) -> bytes:
    """Of the next answer, which is read to its end."""
    status, length = answers.readline().split()[1], 0
    while (line := answers.readline()) != b"\r\n":
        name, _, value = line.lower().partition(b":")
        length = int(value) if name == b"content-length" else length
    answers.read(length)
    return status


def send(port: int, key: str, statuses: list[bytes]) -> None:
    """A thousand requests a second over one connection, ten at a time."""
    burst = increment(key) * PER_TICK
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        answers = cast("BinaryIO", connection.makefile("rb"))

        def accepts() -> bool:
            connection.sendall(increment(str(uuid.uuid4())))
            return status_of(answers) == b"200"

        # The worker at the other end may still be looking for a Redis that another test killed.
        wait_until(accepts, timeout_s=30, what="the worker accepts increments")
        began_s = time.monotonic()
        for tick in range(TICKS):
            time.sleep(max(0.0, began_s + tick * TICK_S - time.monotonic()))
            connection.sendall(burst)
            statuses.extend(status_of(answers) for _ in range(PER_TICK))


def test_every_request_is_in_the_table_ten_seconds_later(running: Stack) -> None:
    keys = new_keys(5)
    statuses: list[bytes] = []
    threads = [threading.Thread(target=send, args=(running.port, key, statuses)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [b"200"] * 5 * TICKS * PER_TICK
    expected = dict.fromkeys(keys, TICKS * PER_TICK)
    wait_until(
        lambda: kept(running, keys).totals == expected,
        timeout_s=BEHIND_MOST_S,
        what="the table holds exactly what was sent",
    )
