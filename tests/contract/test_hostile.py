"""Mutated requests on each port: no 5xx, no dead worker, no growing memory."""

import asyncio
import json
import re
from random import Random

import psutil
import pytest

from tests.api.bodies import ad_body
from tests.contract.conftest import PORTS, board, url_of
from tests.support import plain_http
from tests.support.stack import Stack, wait_until

pytestmark = pytest.mark.xdist_group("contract")

REQUESTS = 3_000
DRILL_REQUESTS = 10_000
WARM_UP_REQUESTS = 1_500
# Many, since most of the time is spent waiting out unfinished requests.
CONNECTIONS = 128
# A mutated request may well be an unfinished one, which the server rightly waits for.
PATIENCE_S = 2.0
GROWTH_MAX_BYTES = 24 * 2**20
ODDITIES = (
    b"\r\n",
    b"%00",
    b"\x00",
    b"&age=",
    b"=" * 300,
    b"9" * 40,
    b"\xed\xa0\x80",
    b":",
    b"[" * 2_000,
    b'"\\ud800"',
    b"NaN",
    b"../",
)
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


def _request(method: str, path: str, body: str = "", kind: str = "", token: str = "") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    if token:
        lines.append(f"Authorization: Token {token}")
    if body:
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(body.encode())}"]
    return "\r\n".join([*lines, "", body]).encode()


def valid_requests(token: str) -> list[bytes]:
    """Requests to begin with: mostly the hot one, and some of every other kind."""
    ad, rows = json.dumps(ad_body()), json.dumps([ad_body(), {"title": "x"}])
    csv = "title,content,start_at,end_at\nA title,x,2026-01-01T00:00:00Z,2099-01-01T00:00:00Z\n"
    hot = [
        _request("GET", f"/api/v1/ad?{query}")
        for query in (
            "",
            "age=25",
            "age=25&country=TW&gender=F&platform=ios&limit=5",
            "offset=3&limit=100",
            "age=0",
            "gender=%4d&x=%ff",
        )
    ]
    a_chunk = _request("POST", "/api/v1/ad", "", token=token).replace(
        b"\r\n\r\n", b'\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n'
    )
    others = [
        _request("HEAD", "/api/v1/ad"),
        _request("POST", "/api/v1/ad", ad, "application/json"),
        _request("POST", "/api/v1/ad", ad, "application/json", token),
        _request("POST", "/api/v1/ads/import/?dry_run=true", rows, "application/json", token),
        _request("POST", "/api/v1/ads/import/?dry_run=true", csv, "text/csv", token),
        _request("GET", "/api/v1/ads/?page=1&q=a&ordering=title&state=live", token=token),
        _request("PATCH", "/api/v1/ads/0192f0aa-0000-7000-8000-000000000001/", "{}", "", token),
        _request("GET", "/healthz"),
        a_chunk,
    ]
    return hot * 8 + others + counting() * 3


def counting() -> list[bytes]:
    """Requests about counters, of every kind."""
    key = "7d6b1f2e-5f0c-4c0e-9d3a-0f3f1a6f6a11"
    increment = f'{{"key": "{key}", "value": 3}}'
    keyed = _request("POST", "/increment", increment, "text/plain")
    return [
        _request("POST", "/increment", increment, "application/json"),
        keyed.replace(b"\r\n\r\n", b"\r\nIdempotency-Key: order-1\r\n\r\n"),
        _request("POST", "/increment/batch", f"[{increment}, {increment}]", "application/json"),
        _request("GET", f"/counters?key={key}&key={key}"),
        _request("GET", f"/counters/{key}/history?granularity=day&start=2026-01-01T00:00:00Z"),
    ]


def mutated(random: Random, requests: list[bytes]) -> bytes:
    """One of the requests, changed either anywhere or only where HTTP itself does not mind."""
    data = random.choice(requests)
    for _ in range(random.randint(1, 4)):
        data = _changed(random, data, requests)
    return data if random.random() < 0.7 else _framed(random, data, random.choice(requests))


def _changed(random: Random, source: bytes, requests: list[bytes]) -> bytes:
    data = bytearray(source)
    at = random.randrange(len(data) + 1)
    match random.randrange(6):
        case 0:
            data[at : at + 1] = bytes([random.randrange(256)])
        case 1:
            data[at:at] = random.randbytes(random.randint(1, 8))
        case 2:
            del data[at : at + random.randint(1, 16)]
        case 3:
            data[at:at] = data[at : at + random.randint(1, 64)]
        case 4:
            other = random.choice(requests)
            data[at:] = other[random.randrange(len(other)) :]
        case 5:
            data[at:at] = random.choice(ODDITIES)
    return bytes(data)


def _framed(random: Random, changed: bytes, valid: bytes) -> bytes:
    """The valid request with a target and a body out of the changed one, and their true length."""
    head, _, body = valid.partition(b"\r\n\r\n")
    method, _, rest = head.partition(b" ")
    target = re.sub(rb"[\x00-\x20\x7f-\xff]", b"", changed.split(b"\r\n")[0].partition(b"/")[2])
    lines = [method + b" /" + target + b" HTTP/1.1", *rest.split(b"\r\n")[1:]]
    if random.random() < 0.5:
        lines[0] = head.split(b"\r\n")[0]
        body = changed.partition(b"\r\n\r\n")[2] or body
    lines = [line for line in lines if not line.startswith((b"Content-Length", b"Transfer-"))]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


async def send(port: int, data: bytes) -> list[int]:
    """The statuses of all answers that come before the connection falls silent or closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        writer.write(data)
        async with asyncio.timeout(PATIENCE_S) as patience:
            while chunk := await reader.read(65_536):
                received += chunk
                patience.reschedule(asyncio.get_running_loop().time() + PATIENCE_S)
    except (TimeoutError, ConnectionError):
        pass  # Either is a fair end for a request that is none.
    finally:
        writer.close()
    return [int(status) for status in _STATUS.findall(received)]


async def bombard(port: int, requests: list[bytes]) -> dict[int, int]:
    """How often each status was answered."""
    counts: dict[int, int] = {}
    waiting = iter(requests)

    async def client() -> None:
        for data in waiting:
            for status in await send(port, data):
                counts[status] = counts.get(status, 0) + 1

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    return counts


def memory_bytes(pids: list[int]) -> int:
    return sum(psutil.Process(pid).memory_info().rss for pid in pids)


def both(stack: Stack, pool: str) -> list[int]:
    """The pids of the pool's two workers; none while one is missing."""
    pids = [worker["pid"] for worker in board(stack) if worker["pool"] == pool]
    return pids if len(pids) == 2 else []


@pytest.mark.parametrize(
    "requests", [REQUESTS, pytest.param(DRILL_REQUESTS, marks=pytest.mark.drill)]
)
@pytest.mark.parametrize("name", PORTS)
def test_mutated_requests(stack, name, requests):
    port = stack.edge_port if name == "edge" else stack.port
    random = Random(f"mutated for {name}")
    valid = valid_requests(stack.operator["token"])
    workers = wait_until(lambda: both(stack, name), timeout_s=60, what=f"two workers of {name}")
    warm_up = [mutated(random, valid) for _ in range(WARM_UP_REQUESTS)]
    rest = [mutated(random, valid) for _ in range(requests - WARM_UP_REQUESTS)]

    first = asyncio.run(bombard(port, warm_up))
    before_bytes = memory_bytes(workers)
    second = asyncio.run(bombard(port, rest))
    after_bytes = memory_bytes(workers)

    statuses = set(first) | set(second)
    assert {status for status in statuses if status >= 500} == set(), (first, second)
    assert {200, 400} <= statuses
    assert sum(second.values()) > len(rest) / 2
    assert both(stack, name) == workers
    assert after_bytes - before_bytes < GROWTH_MAX_BYTES
    assert plain_http.get(f"{url_of(stack, name)}/api/v1/ad").status_code == 200
