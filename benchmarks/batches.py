"""Sends batches of increments as fast as they are taken, and knows afterwards what must be counted.

A process of its own: `python -m benchmarks.batches PORT SECONDS SIZE KEYS CONNECTIONS`. Bodies are
made ahead. Every connection finishes its last request, so the expected total of each key is exact.
Prints one JSON object: seconds, increments, errors, latencies in milliseconds, totals by key.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from uuid import UUID

BODIES = 100
_OK = b"HTTP/1.1 200 "


class Body:
    """One batch: its request's bytes, its sums, and how often it was taken."""

    def __init__(self, chooser: random.Random, keys: list[str], size: int) -> None:
        pairs = [(chooser.choice(keys), chooser.randint(1, 100)) for _ in range(size)]
        rows = [{"key": key, "value": value} for key, value in pairs]
        content = json.dumps(rows, separators=(",", ":")).encode()
        head = f"POST /increment/batch HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(content)}"
        self.request = head.encode() + b"\r\n\r\n" + content
        self.sums: Counter[str] = Counter()
        for key, value in pairs:
            self.sums[key] += value
        self.taken = 0


class Sender:
    """All connections together."""

    def __init__(self, bodies: list[Body], until_s: float) -> None:
        self.bodies = bodies
        self.until_s = until_s
        self.latencies_ms: list[float] = []
        self.errors = 0

    async def run(self, port: int, number: int) -> None:
        """One connection, until the time is up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        at = number
        while time.monotonic() < self.until_s:
            body = self.bodies[at % len(self.bodies)]
            at += 1
            began_s = time.monotonic()
            writer.write(body.request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            if head.startswith(_OK):
                body.taken += 1
                self.latencies_ms.append((time.monotonic() - began_s) * 1000)
            else:
                self.errors += 1
        writer.close()


def expected(bodies: list[Body]) -> Counter[str]:
    """What each key must have grown by."""
    totals: Counter[str] = Counter()
    for body in bodies:
        for key, value in body.sums.items():
            if body.taken:
                totals[key] += value * body.taken
    return totals


async def send(
    port: int, seconds: float, size: int, keys: int, connections: int
) -> dict[str, object]:
    """Send, and tell what came of it."""
    # Other keys in every run: each total is this run's alone.
    chooser = random.Random()
    names = [str(UUID(int=chooser.getrandbits(128), version=4)) for _ in range(keys)]
    bodies = [Body(chooser, names, size) for _ in range(BODIES)]
    began_s = time.monotonic()
    sender = Sender(bodies, began_s + seconds)
    await asyncio.gather(*(sender.run(port, number * 7) for number in range(connections)))
    took_s = time.monotonic() - began_s
    return {
        "seconds": took_s,
        "ended_at": time.time(),
        "increments": size * sum(body.taken for body in bodies),
        "errors": sender.errors,
        "latencies_ms": sorted(sender.latencies_ms),
        "totals": expected(bodies),
    }


if __name__ == "__main__":
    port, seconds, size, keys, connections = sys.argv[1:]
    result = send(int(port), float(seconds), int(size), int(keys), int(connections))
    print(json.dumps(asyncio.run(result)))
