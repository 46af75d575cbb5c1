"""What the fault tests share: readers that never rest, the board, and what all must agree on."""

import http.client
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, Self

import psutil
import psycopg

from adserver.index import CatalogIndex
from adserver.replica import load_snapshot
from tests.support.stack import Stack, wait_until

AGREE_TIMEOUT_S = 30.0
WRITABLE_TIMEOUT_S = 20.0
READER_PAUSE_S = 0.002
REQUEST_TIMEOUT_S = 60.0
QUERIES = ("", "?age=25&country=TW", "?gender=F&platform=ios&limit=100", "?offset=1&limit=1")


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: Any


def request(
    port: int, method: str, path: str, *, body: Any = None, token: str = "", bearer: str = ""
) -> Reply:
    """One request on a connection of its own, with a JSON body and answer, or one in text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_TIMEOUT_S)
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Token {token}"
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    payload = None if body is None else json.dumps(body).encode()
    try:
        connection.request(method, path, payload, headers)
        response = connection.getresponse()
        raw = response.read()
    finally:
        connection.close()
    is_json = raw and response.headers["Content-Type"] == "application/json"
    return Reply(response.status, response.headers, json.loads(raw) if is_json else raw)


def ad_body(title: str, *, lives_s: float = 86_400) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "title": title,
        "content": "Words",
        "start_at": (now - timedelta(days=1)).isoformat(),
        "end_at": (now + timedelta(seconds=lives_s)).isoformat(),
    }


def create(stack: Stack, title: str, *, lives_s: float = 86_400) -> Reply:
    """Create an ad over HTTP, as the operator."""
    token = stack.operator["token"]
    body = ad_body(title, lives_s=lives_s)
    return request(stack.port, "POST", "/api/v1/ad", body=body, token=token)


def database(stack: Stack) -> psycopg.Connection[Any]:
    url = stack.state["database_url"]
    return psycopg.connect(url, autocommit=True, options="-c timezone=UTC")


class AtWork:
    """Threads that work inside the context; `stopping` tells them to end."""

    def __init__(self, *works: Callable[[], object]) -> None:
        self.stopping = threading.Event()
        self._threads = [threading.Thread(target=work) for work in works]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join()


class Readers(AtWork):
    """Read the ads on both ports without a rest, on kept connections; every answer counts."""

    def __init__(self, *ports: int) -> None:
        self.failures: list[str] = []
        self.counts = dict.fromkeys(ports, 0)
        super().__init__(*(partial(self._read, port) for port in ports))

    def _read(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_TIMEOUT_S)
        while not self.stopping.wait(READER_PAUSE_S):
            query = QUERIES[self.counts[port] % len(QUERIES)]
            try:
                connection.request("GET", f"/api/v1/ad{query}")
                response = connection.getresponse()
                body = response.read()
                if response.status != 200:
                    self.failures.append(f"{port} {query}: {response.status} {body[:200]!r}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{port} {query}: {error!r}")
                connection.close()
            self.counts[port] += 1
        connection.close()


@contextmanager
def no_read_fails(stack: Stack) -> Iterator[Readers]:
    """Readers on both ports; at the end, every one of their reads must have been answered 200."""
    with Readers(stack.port, stack.edge_port) as readers:
        yield readers
    assert readers.failures == []
    assert all(count > 10 for count in readers.counts.values())


def board(stack: Stack) -> list[dict[str, Any]]:
    """Every worker of both pools, as any one of them sees it; empty if the one asked just died."""
    try:
        workers: list[dict[str, Any]] = request(stack.edge_port, "GET", "/readyz").body["workers"]
    except (OSError, http.client.HTTPException):
        return []
    return workers


def pid_of(stack: Stack, name: str) -> int | None:
    """The master's process id, None while it is down."""
    return stack.pids.get(name)


def wait_written(stack: Stack, title: str, *, within_s: float = WRITABLE_TIMEOUT_S) -> str:
    """Write an ad as soon as writes are accepted; gives its id."""

    def written() -> str | None:
        try:
            reply = create(stack, title)
        except (OSError, http.client.HTTPException):
            return None
        return reply.body["data"] if reply.status == 201 else None

    ad_id: str = wait_until(written, timeout_s=within_s, what="a write is accepted")
    return ad_id


class Held(NamedTuple):
    """What a catalog holds, comparable between processes."""

    version: int
    hash: str


def fresh(stack: Stack) -> Held:
    """Of a rebuild from the tables."""
    index = CatalogIndex()
    with database(stack) as connection:
        load_snapshot(connection, index)
    version, digest, _, _ = index.state()
    assert version is not None
    return Held(version, digest)


def fresh_if_up(stack: Stack) -> Held | None:
    """None while PostgreSQL is away or starts up."""
    try:
        return fresh(stack)
    except psycopg.OperationalError:
        return None


def fresh_by_command(stack: Stack) -> Held:
    """The same by `manage.py catalog_hash`."""
    done = stack.manage("catalog_hash", "--json")
    assert done.returncode == 0, done.stderr
    state = json.loads(done.stdout)
    return Held(state["version"], state["hash"])


def wait_agreed(stack: Stack) -> Held:
    """Wait until all workers of both pools hold what a fresh rebuild has; give that."""
    workers: list[dict[str, Any]] = []
    wanted: Held | None = None

    def agreed() -> Held | None:
        nonlocal wanted
        workers[:] = board(stack)
        pools = sorted(worker["pool"] for worker in workers if worker["age_s"] < 2)
        held = {Held(worker["version"], worker["hash"]) for worker in workers}
        # The expiry may write at any moment: what is wanted is then what the tables hold now.
        if held != {wanted}:
            wanted = fresh_if_up(stack)
        return wanted if pools == ["api", "api", "edge", "edge"] and held == {wanted} else None

    try:
        found: Held = wait_until(agreed, timeout_s=AGREE_TIMEOUT_S, what="all workers agree")
    except AssertionError as error:
        raise AssertionError(f"{error}: fresh {wanted}, workers {workers}") from None
    return found


def assert_log_is_whole(stack: Stack) -> None:
    """Versions without a gap, and every row as its newest entry has it."""
    with database(stack) as connection:
        versions = connection.execute("SELECT version FROM adserver_adchange ORDER BY 1").fetchall()
        assert [version for (version,) in versions] == list(range(1, len(versions) + 1))
        # A full join: a row without its entry, or an entry without its row, is in the answer.
        odd = connection.execute(
            """
            SELECT ad.id, ad.version, log.ad_id, log.version
              FROM adserver_ad ad
              FULL JOIN (
                   SELECT DISTINCT ON (ad_id) * FROM adserver_adchange
                    ORDER BY ad_id, version DESC
                   ) log ON log.ad_id = ad.id
             WHERE ad.id IS NULL AND log.operation <> 'delete'
                OR ad.id IS NOT NULL AND (
                   log.ad_id IS NULL OR log.operation = 'delete' OR log.version <> ad.version
                   OR (log.ad ->> 'version')::bigint <> ad.version
                   OR log.ad ->> 'title' <> ad.title
                   OR (log.ad ->> 'end_at')::timestamptz <> ad.end_at
                   OR (log.operation = 'close') <> (ad.closed_at IS NOT NULL))
            """
        ).fetchall()
    assert odd == []


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it, the parent first."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """A process and all below it stand still: connections stay open, nothing answers."""
    processes = family(pid)
    for process in processes:
        # One below may just be ending, and is gone when its parent goes on.
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()
    assert psutil.pid_exists(pid), "what stood still was killed meanwhile"


@contextmanager
def killed(stack: Stack, name: str) -> Iterator[None]:
    """A store is gone by `kill -9` for as long as the context lasts: the supervisor stands still,
    and afterwards starts the store again.
    """
    victims = family(stack.pids[name])
    os.kill(stack.pid, signal.SIGSTOP)
    try:
        for process in victims:
            # One below may just have ended by itself.
            with suppress(psutil.NoSuchProcess):
                process.kill()
        yield
    finally:
        os.kill(stack.pid, signal.SIGCONT)
