"""The fast path over real sockets, in uvicorn on uvloop, with clients that behave badly."""

import contextlib
import resource
import socket
import struct
import threading

import psutil
import pytest
import uvicorn

from runtime.http.answer import Answer
from runtime.http.limits import Limits
from runtime.http.protocol import FastPathProtocol
from tests.fastpath.app import App, table
from tests.fastpath.pools import wait_until
from tests.fastpath.support import HOT, LARGE, SLOW, save
from tests.fastpath.wire import answers, door_of


class Impatient(FastPathProtocol):
    limits = Limits(head_s=1, linger_s=1)


class Server:
    """uvicorn in a thread of this process."""

    def __init__(self) -> None:
        self.routes = table()
        config = uvicorn.Config(
            App(self.routes),
            http=Impatient,
            loop="uvloop",
            ws="none",
            lifespan="on",
            port=0,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        self.uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.uvicorn.run)

    def __enter__(self):
        self._thread.start()
        wait_until(lambda: self.uvicorn.started, "the server's start")
        self.port = self.uvicorn.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        self.uvicorn.should_exit = True
        self._thread.join()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    @property
    def loop(self):
        return door_of(self.uvicorn.server_state)._loop

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, *pieces: bytes) -> bytes:
        """Send, close our side, and read until the server closes its."""
        with self.connect() as client:
            for piece in pieces:
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
            return read_all(client)

    def serves(self) -> bool:
        with self.connect() as client:
            return ask_one(client, HOT)[0] == 200


def read_all(client: socket.socket) -> bytes:
    received = b""
    while piece := client.recv(1_000_000):
        received += piece
    return received


def ask_one(client: socket.socket, request: bytes) -> tuple[int, bytes]:
    """One request and its answer, on a connection that is kept."""
    client.sendall(request)
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += client.recv(65_536)
    return int(head.split()[1]), body


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


def test_a_pipeline_of_all_kinds_to_a_client_that_closes_its_side(server):
    later = save(b"1", b"later" * 50)
    received = answers(server.ask(HOT + SLOW + later + HOT + save(b"2") + SLOW + HOT))
    assert [status for status, _, _ in received] == [200] * 7
    assert [body for _, _, body in received][2:5] == [
        b'{"saved": "1"}',
        b'{"query": "a=1"}',
        b'{"saved": "2"}',
    ]


def test_byte_by_byte(server):
    stream = HOT + save(b"x") + SLOW + HOT
    with server.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in stream:
            client.sendall(bytes([byte]))
        client.sendall(HOT.replace(b"Host", b"Connection: close\r\nHost"))
        assert [status for status, _, _ in answers(read_all(client))] == [200] * 5


def test_the_date_is_there_and_moves(server):
    with server.connect() as client:
        dates = set()

        def ask() -> bool:
            client.sendall(HOT)
            head = client.recv(65_536).partition(b"\r\n\r\n")[0]
            dates.add(head.partition(b"date: ")[2].split(b"\r\n")[0])
            return len(dates) >= 2

        wait_until(ask, "another second's date")
    assert all(date.endswith(b" GMT") for date in dates)


def test_a_client_that_never_reads_holds_little_and_stops_nobody(server):
    process = psutil.Process()
    demand = LARGE * 1_000_000
    before_bytes = process.memory_info().rss
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(server.connect())
            client.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                # The server stops reading, so this cannot all be sent.
                client.sendall(demand)
                raise AssertionError("the server went on reading")
        assert server.serves()
        assert process.memory_info().rss - before_bytes < 60_000_000


def test_2000_idle_connections(server):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(2_000)]
        for client in clients[::2]:
            client.sendall(HOT)
        assert server.serves()
        for client in clients[::2]:
            assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        assert ask_one(clients[1], HOT)[0] == 200
        held = server.uvicorn.server_state.connections
        wait_until(lambda: len(held) >= 2_000, "all connections held")
    wait_until(lambda: len(held) < 10, "all connections gone")


def test_slow_headers(server):
    with server.connect() as client:
        client.sendall(b"GET /hot HTTP/1.1\r\n")
        assert read_all(client).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /hot HTTP/1.1\r\nX: " + b"x" * 1_048_576 + b"\r\n\r\n", b"431"),
        (b"POST /save HTTP/1.1\r\nContent-Length: 40000000\r\n\r\n" + b"x" * 4_000_000, b"413"),
    ],
    ids=["1 MiB of headers", "a large body"],
)
def test_a_refused_client_that_is_still_sending_reads_why(server, request_, status):
    """No reset loses the answer, though the client has not finished."""
    with server.connect() as client:
        client.sendall(request_)
        received = read_all(client)
    assert received.startswith(b"HTTP/1.1 " + status)
    assert b'{"msg":' in received
    assert server.serves()


def test_clients_that_leave_early(server):
    for request in (HOT, SLOW, save(b"x", b"later" * 20), LARGE, HOT[:20], save(b"abc")[:-2]):
        for reset in (False, True):
            client = server.connect()
            client.sendall(request)
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
    assert server.serves()
    held = server.uvicorn.server_state
    wait_until(lambda: not held.tasks, "all tasks done")


def test_a_server_that_stops_answers_what_it_accepted_and_warns_the_idle():
    with Server() as server, contextlib.ExitStack() as stack:
        accepted = []
        server.routes.write(b"POST", b"/keep", lambda request, reply: accepted.append(reply))
        idle, waiting, silent = (stack.enter_context(server.connect()) for _ in range(3))
        assert ask_one(idle, HOT)[0] == 200
        waiting.sendall(save(b"1").replace(b"/save", b"/keep"))
        wait_until(lambda: accepted, "the write")
        server.uvicorn.should_exit = True
        state = server.uvicorn.server_state
        wait_until(lambda: door_of(state).draining, "the beginning of the end")
        assert ask_one(idle, HOT)[0] == 200
        assert idle.recv(1) == b""
        assert silent.recv(1) == b""
        assert server.running
        server.loop.call_soon_threadsafe(accepted[0], Answer(200, b'"kept"'))
        [(status, headers, body)] = answers(read_all(waiting))
        assert (status, headers[b"connection"], body) == (200, b"close", b'"kept"')
