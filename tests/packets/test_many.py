"""Many connections, most of them with bad manners: the others get their answers, nothing stays."""

import itertools
import random
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.packets.support import Line, packet
from tests.packets.test_pool import Running
from tests.support.stack import Stack, wait_until

THREADS = 8
# The kernel keeps the port of a closed connection for a minute, for each address.
SOURCES = [f"127.0.0.{last}" for last in range(2, 18)]
# What an allocator may keep more or less of; a kilobyte a connection would be a hundred of these.
SLACK_BYTES = 8 * 2**20
CONNECTED_TIMEOUT_S = 30.0

Ask = Callable[[Line], bool]


def polite(line: Line, ask: Ask) -> bool:
    return ask(line)


def two_in_one_segment(line: Line, ask: Ask) -> bool:
    line.send(b"{}\n{}\n")
    return line.read() == line.read() and ask(line)


def stopping(line: Line, ask: Ask) -> bool:
    line.send(b"{}\nSTOP\n")
    return not line.read()["Success"] and line.ended()


def half_a_line(line: Line, ask: Ask) -> bool:
    line.send(packet("VALIDATE", Token="t")[:-10])
    return True


def endless_line(line: Line, ask: Ask) -> bool:
    line.send(b"x" * 65_537)
    return line.ended()


def leaving(line: Line, ask: Ask) -> bool:
    line.send(packet("VALIDATE", Token="t") * 2)
    line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return True


MANNERS = [polite, polite, two_in_one_segment, stopping, half_a_line, endless_line, leaving]


def meet(port: int, ask: Ask, *, count: int) -> None:
    """So many connections, one after the other in each of some threads; all must go as they should.

    Beside them some stay that ask for much and never read.
    """
    silent = [Line(port) for _ in range(THREADS)]
    for line in silent:
        line.socket.setblocking(False)
        line.socket.send(packet("VALIDATE", Token="t") * 2000)

    def run(seed: int) -> bool:
        chooser = random.Random(seed)
        for _ in range(count // THREADS):
            with Line(port, source=chooser.choice(SOURCES)) as line:
                if not chooser.choice(MANNERS)(line, ask):
                    return False
        return True

    with ThreadPoolExecutor(THREADS) as threads:
        assert all(threads.map(run, range(THREADS)))
    for line in silent:
        line.close()


@pytest.fixture
def pool() -> Iterator[Running]:
    with Running() as running:
        running.serving()
        yield running


def open_connections(pids: set[int]) -> int:
    """How many connections the processes have; they listen on one more socket each."""
    return sum(
        connection.status != psutil.CONN_LISTEN
        for pid in pids
        for connection in psutil.Process(pid).net_connections("tcp4")
    )


def test_the_polite_get_their_answers_and_the_others_leave_nothing(pool: Running) -> None:
    numbers = itertools.count()

    def ask(line: Line) -> bool:
        token = f"t{next(numbers)}"
        said = line.ask("VALIDATE", Token=token)["User"]
        return int(said["Username"]) in children and said["Nickname"] == token

    children = pool.children()
    meet(pool.port, ask, count=480)
    wait_until(
        lambda: open_connections(children) == 0, timeout_s=CONNECTED_TIMEOUT_S, what="all have left"
    )
    assert pool.children() == children


@pytest.mark.drill
def test_memory_is_flat_over_a_hundred_thousand_connections() -> None:
    with Stack({"WEB_CONCURRENCY": "2"}) as stack:
        with Line(stack.packets_port) as line:
            for name in ("ann", "bob"):
                line.ask("REGISTER", Username=name, Password="correct horse")
            tokens = {
                name: line.ask("LOGIN", Username=name, Password="correct horse")["User"]["Token"]
                for name in ("ann", "bob")
            }
        turns = itertools.cycle(tokens.items())

        def ask(line: Line) -> bool:
            name, token = next(turns)
            return bool(line.ask("VALIDATE", Token=token)["User"]["Username"] == name)

        def rss_bytes() -> int:
            processes = psutil.Process(stack.pids["packets"]).children()
            return sum(process.memory_info().rss for process in processes)

        meet(stack.packets_port, ask, count=20_000)
        before_bytes = rss_bytes()
        meet(stack.packets_port, ask, count=80_000)
        assert rss_bytes() - before_bytes < SLACK_BYTES
