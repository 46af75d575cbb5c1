"""Requests, and a bench with the fast path on it."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

from runtime.http.limits import Limits
from runtime.http.protocol import FastPathProtocol
from runtime.http.routes import RouteTable
from tests.fastpath.app import App, table
from tests.fastpath.wire import Bench, Wire, answers

HOT = b"GET /hot?a=1 HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"


def save(body: bytes, query: bytes = b"", *headers: bytes) -> bytes:
    lines = [b"POST /save?%b HTTP/1.1" % query, b"Host: a", *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def fast_bench(routes: RouteTable | None = None, app: Any = None, **limits: int) -> Bench:
    """A bench with the fast path, with limits other than the usual ones."""
    protocol = type("Limited", (FastPathProtocol,), {"limits": Limits(**limits)})
    return Bench(protocol, app or App(), {"hot_routes": routes or table()})


def on_bench(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test that is a coroutine in a loop of its own."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


def statuses(wire: Wire) -> list[int]:
    return [status for status, _, _ in answers(wire.sent)]


def bodies(wire: Wire) -> list[bytes]:
    return [body for _, _, body in answers(wire.sent)]


def pass_seconds(bench: Bench, seconds: int) -> None:
    """What the sweep does when so many seconds have passed."""
    for _ in range(seconds):
        bench.door.check()
