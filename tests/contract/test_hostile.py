"""Ten thousand mutated requests on each port: no 5xx, no dead worker, no growing memory."""

import asyncio
import json
import re
from random import Random

import httpx
import psutil
import pytest

from tests.api.bodies import ad_body
from tests.contract.conftest import board, url_of

pytestmark = pytest.mark.xdist_group("contract")

REQUESTS = 10_000
WARM_UP_REQUESTS = 2_000
CONNECTIONS = 64
# A mutated request may well be an unfinished one, which the server rightly waits for.
PATIENCE_S = 0.25
GROWTH_MAX_BYTES = 24 * 2**20
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
    return hot * 8 + others


def mutated(random: Random, requests: list[bytes]) -> bytes:
    """One of the requests with one to four of its bytes or parts changed."""
    data = bytearray(random.choice(requests))
    for _ in range(random.randint(1, 4)):
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
                data[at:at] = random.choice(
                    (
                        b"\r\n",
                        b"%00",
                        b"\x00",
                        b"&age=",
                        b"=" * 300,
                        b"9" * 40,
                        b"\xed\xa0\x80",
                        b":",
                    )
                )
    return bytes(data)


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


@pytest.mark.parametrize("name", ["api", "edge"])
def test_mutated_requests(stack, name):
    port = stack.edge_port if name == "edge" else stack.port
    random = Random(f"mutated for {name}")
    valid = valid_requests(stack.operator["token"])
    workers = [worker["pid"] for worker in board(stack) if worker["pool"] == name]
    warm_up = [mutated(random, valid) for _ in range(WARM_UP_REQUESTS)]
    rest = [mutated(random, valid) for _ in range(REQUESTS - WARM_UP_REQUESTS)]

    first = asyncio.run(bombard(port, warm_up))
    before_bytes = memory_bytes(workers)
    second = asyncio.run(bombard(port, rest))
    after_bytes = memory_bytes(workers)

    statuses = set(first) | set(second)
    assert {status for status in statuses if status >= 500} == set(), (first, second)
    assert {200, 400} <= statuses
    assert sum(second.values()) > len(rest) / 2
    assert [worker["pid"] for worker in board(stack) if worker["pool"] == name] == workers
    assert after_bytes - before_bytes < GROWTH_MAX_BYTES
    assert httpx.get(f"{url_of(stack, name)}/api/v1/ad").status_code == 200
