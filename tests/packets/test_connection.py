"""Connections: order, cuts, ends and limits, over real sockets on a real event loop."""

import random
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from accounts.packets.limits import Limits
from tests.packets.support import Line, Server, packet
from tests.support.stack import wait_until

SMALL = Limits(idle_s=30, send_s=20, linger_s=5, connections=4, threads=2, waiting=1)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def small() -> Iterator[Server]:
    with Server(SMALL) as running:
        yield running


@pytest.fixture
def line(server: Server) -> Iterator[Line]:
    with server.connect() as connected:
        yield connected


def known(name: str) -> bytes:
    return packet("VALIDATE", Token=f"known-{name}")


def names(line: Line, count: int) -> list[str]:
    return [line.read()["User"]["Username"] for _ in range(count)]


def clogged(server: Server) -> bool:
    return bool(server.on_loop(lambda: any(each._clogged for each in server.door._connections)))


def test_a_packet_in_pieces_is_one_packet(line: Line) -> None:
    for byte in known("ann"):
        line.send(bytes([byte]))
    assert names(line, 1) == ["ann"]


def test_two_packets_in_one_segment_are_two(line: Line) -> None:
    line.send(known("ann") + known("bob"))
    assert names(line, 2) == ["ann", "bob"]


def test_any_cut_of_a_stream_gives_the_same_answers(line: Line) -> None:
    wanted = [f"user{number}" for number in range(300)]
    stream = b"".join(
        known(name) if number % 7 else packet("LOGIN", Username=name, Password="p")
        for number, name in enumerate(wanted)
    )
    chooser, start = random.Random(7), 0
    while start < len(stream):
        size = chooser.choice((1, 30, 120, 400, 5000))
        line.send(stream[start : start + size])
        start += size
    assert names(line, len(wanted)) == wanted


def test_what_memory_knows_waits_for_what_came_before(server: Server, line: Line) -> None:
    line.send(packet("LOGIN", Username="slow-1", Password="p") + known("after"))
    wait_until(lambda: "slow-1" in server.entered, timeout_s=60, what="the stores are asked")
    with server.connect() as other:
        other.send(known("other"))
        assert names(other, 1) == ["other"], "the others do not wait"
    server.open("slow-1")
    assert names(line, 2) == ["slow-1", "after"]


def test_a_packet_is_looked_at_after_the_answer_to_the_one_before(line: Line) -> None:
    line.send(known("gone") + packet("LOGOUT", Token="known-gone") + known("gone"))
    assert [line.read()["Success"] for _ in range(3)] == [True, True, False]


def test_a_bad_packet_is_answered_and_the_connection_stays(line: Line) -> None:
    line.send(b"hello\n\n" + known("ann"))
    first, second = line.read(), line.read()
    assert first == second == {"Success": False, "User": {}, "Err": "packet: is not a line of JSON"}
    assert names(line, 1) == ["ann"]


@pytest.mark.parametrize("stop", [b"STOP\n", b"STOP\r\n"])
def test_stop_closes_after_the_answers_before_it(server: Server, stop: bytes) -> None:
    server.open("slow-stop")
    with server.connect() as line:
        line.send(packet("LOGIN", Username="slow-stop", Password="p") + known("ann") + stop)
        assert names(line, 2) == ["slow-stop", "ann"]
        assert line.ended()


def test_nothing_after_stop_is_answered(server: Server) -> None:
    with server.connect() as line:
        line.send(known("ann") + b"STOP\n" + known("bob"))
        assert names(line, 1) == ["ann"]
        assert line.ended()


@pytest.mark.parametrize("end", [b"", b"\r", b"\n", b"\r\n"])
def test_a_line_that_is_too_long_closes_after_the_answers_before_it(
    server: Server, end: bytes
) -> None:
    with server.connect() as line:
        line.send(known("ann"))
        line.send(b"x" * 65_537 + end)
        assert names(line, 1) == ["ann"]
        assert line.ended()


def test_the_longest_line_is_answered(line: Line) -> None:
    for size in (65_535, 65_536):
        for end in (b"\n", b"\r\n"):
            line.send(known("ann").rstrip().ljust(size) + end)
            assert names(line, 1) == ["ann"]
    line.send(known("ann").rstrip().ljust(65_536) + b"\r")
    line.send(b"\n")
    assert names(line, 1) == ["ann"]


def test_a_client_that_closes_its_side_gets_what_it_asked_for(server: Server) -> None:
    with server.connect() as line:
        line.send(packet("LOGIN", Username="slow-eof", Password="p") + known("ann") + b'{"For')
        wait_until(lambda: "slow-eof" in server.entered, timeout_s=60, what="the stores are asked")
        line.socket.shutdown(socket.SHUT_WR)
        server.open("slow-eof")
        assert names(line, 2) == ["slow-eof", "ann"]
        assert line.ended()


def test_a_client_that_left_leaves_its_answer_to_nobody(server: Server) -> None:
    before = server.on_loop(lambda: len(server.door))
    with server.connect() as line:
        line.send(packet("LOGIN", Username="slow-left", Password="p"))
        wait_until(lambda: "slow-left" in server.entered, timeout_s=60, what="the stores are asked")
        # A reset: of a client that only closed nobody can tell that it does not read on.
        reset = struct.pack("ii", 1, 0)
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    wait_until(
        lambda: server.on_loop(lambda: len(server.door)) == before, timeout_s=60, what="it left"
    )
    with server.connect() as other:
        server.open("slow-left")
        other.send(packet("LOGIN", Username="other", Password="p"))
        assert names(other, 1) == ["other"]


def test_the_stores_are_told_who_asks(server: Server, line: Line) -> None:
    line.ask("LOGIN", Username="ann", Password="p")
    assert server.clients[-1] == "127.0.0.1"


def test_a_client_that_never_reads_is_not_answered_without_end(small: Server) -> None:
    with small.connect(receive_bytes=4096) as line:
        line.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            line.send(known("ann") * 500_000)
        (connection,) = small.on_loop(lambda: list(small.door._connections))
        assert connection._clogged
        kept = small.on_loop(lambda: (len(connection._unread), connection._halted))
        # Twice the longest line, and what one reading of the socket brings.
        assert kept[0] < 1_048_576
        assert kept[1], "nothing more is read"
        with small.connect() as other:
            other.send(known("bob"))
            assert names(other, 1) == ["bob"]
        small.sweep(small.door.limits.send_s + 2)
        present = small.on_loop(lambda: connection in small.door._connections)
        assert not present, "it is cut off"


def test_a_client_that_reads_late_gets_every_answer(small: Server) -> None:
    wanted = 60_000
    with small.connect(receive_bytes=4096) as line:
        stream = b"".join(known(f"user{number}") for number in range(wanted))
        sender = threading.Thread(target=line.send, args=[stream])
        sender.start()
        wait_until(lambda: clogged(small), timeout_s=60, what="answers stand still")
        assert names(line, wanted) == [f"user{number}" for number in range(wanted)]
        sender.join()


def test_idle_connections_end_and_busy_ones_stay(small: Server) -> None:
    with small.connect() as idle, small.connect() as half, small.connect() as waiting:
        idle.send(known("ann"))
        assert names(idle, 1) == ["ann"]
        half.send(b'{"Format":')
        waiting.send(packet("LOGIN", Username="slow-idle", Password="p"))
        wait_until(lambda: "slow-idle" in small.entered, timeout_s=60, what="the stores are asked")
        small.sweep(15)
        half.send(b'"VALIDATE",')
        small.sweep(20)
        assert idle.ended()
        assert half.ended(), "half a line is no sign of life"
        small.open("slow-idle")
        assert names(waiting, 1) == ["slow-idle"]


def test_connections_beyond_the_limit_are_told_so(small: Server) -> None:
    lines = [small.connect() for _ in range(4)]
    for line in lines:
        line.send(known("in"))
        assert names(line, 1) == ["in"]
    with small.connect() as crowded:
        assert crowded.read()["Err"] == "connections: there are too many, try again later"
        assert crowded.ended()
    lines.pop().close()

    def room() -> bool:
        with small.connect() as again:
            again.send(known("in"))
            return bool(again.read()["Success"])

    wait_until(room, timeout_s=60, what="there is room again")
    for line in lines:
        line.close()


def test_a_full_lane_says_so_at_once_and_the_other_lane_goes_on(small: Server) -> None:
    lines = [small.connect() for _ in range(4)]
    for turn in range(3):
        lines[turn].send(packet("LOGIN", Username=f"slow-{turn}", Password="p"))
    wait_until(lambda: small.door._hashing.jobs == 3, timeout_s=60, what="the lane is full")
    lines[3].send(packet("LOGIN", Username="more", Password="p") + packet("VALIDATE", Token="x"))
    assert lines[3].read()["Err"] == "server: is busy, try again later"
    assert lines[3].read()["Err"] == "User.Token: is no session"
    for turn in range(3):
        small.open(f"slow-{turn}")
        assert names(lines[turn], 1) == [f"slow-{turn}"]
    lines[3].send(packet("LOGIN", Username="more", Password="p"))
    assert names(lines[3], 1) == ["more"]
    for line in lines:
        line.close()


def test_a_crowd_with_unknown_sessions_is_answered(server: Server) -> None:
    lines = [server.connect() for _ in range(400)]
    lines[0].send(packet("LOGOUT", Token="slow-one"))
    for line in lines[1:]:
        line.send(packet("VALIDATE", Token="x"))
    server.open("slow-one")
    assert lines[0].read()["Success"]
    for line in lines[1:]:
        assert line.read()["Err"] == "User.Token: is no session"
    for line in lines:
        line.close()


def log_in_together(server: Server, password: str) -> list[Line]:
    """Three connections that log in as the same user, the first of which is being looked at."""
    lines = [server.connect() for _ in range(3)]
    login = packet("LOGIN", Username="slow-ann", Password=password)
    lines[0].send(login)
    wait_until(lambda: server.entered, timeout_s=60, what="the stores are asked")
    for line in lines[1:]:
        line.send(login)
    waiting = server.door._logins
    wait_until(
        lambda: [len(each) for each in waiting.values()] == [2], timeout_s=60, what="two more wait"
    )
    return lines


def test_the_same_login_is_looked_at_once(small: Server) -> None:
    lines = log_in_together(small, "p")
    other = small.connect()
    other.send(packet("LOGIN", Username="slow-ann", Password="wrong"))
    wait_until(lambda: len(small.entered) == 2, timeout_s=60, what="another password is another")
    lines[1].close()
    small.open("slow-ann")
    assert [line.read()["Success"] for line in (lines[0], lines[2], other)] == [True, True, False]
    assert small.entered == ["slow-ann"] * 2
    for line in (*lines, other):
        line.close()


def test_every_wrong_password_is_looked_at(small: Server) -> None:
    lines = log_in_together(small, "wrong")
    small.open("slow-ann")
    assert [line.read()["Success"] for line in lines] == [False] * 3
    assert small.entered == ["slow-ann"] * 3
    for line in lines:
        line.close()


def test_what_has_waited_too_long_is_answered_and_not_begun() -> None:
    with Server(Limits(threads=1, patience_s=0.05)) as server:
        lines = [server.connect() for _ in range(2)]
        lines[0].send(packet("LOGIN", Username="slow-first", Password="p"))
        wait_until(lambda: "slow-first" in server.entered, timeout_s=60, what="it is begun")
        lines[1].send(packet("LOGIN", Username="second", Password="p"))
        wait_until(lambda: server.door._hashing.jobs == 2, timeout_s=60, what="one waits")
        began_s = time.monotonic()
        wait_until(lambda: time.monotonic() - began_s > 0.1, timeout_s=60, what="it is late")
        server.open("slow-first")
        assert names(lines[0], 1) == ["slow-first"]
        assert lines[1].read()["Err"] == "server: is busy, try again later"
        assert server.entered == ["slow-first"]
        for line in lines:
            line.close()


def test_drain_answers_what_has_come_and_lets_all_go(small: Server) -> None:
    gone: list[bool] = []
    with small.connect() as idle, small.connect() as waiting:
        idle.send(known("ann"))
        assert names(idle, 1) == ["ann"]
        waiting.send(packet("LOGIN", Username="slow-drain", Password="p") + known("bob"))
        wait_until(lambda: "slow-drain" in small.entered, timeout_s=60, what="the stores are asked")
        small.on_loop(lambda: small.door.drain(lambda: gone.append(True)))
        assert idle.ended()
        assert not gone
        small.open("slow-drain")
        assert names(waiting, 2) == ["slow-drain", "bob"]
        assert waiting.ended()
    wait_until(lambda: gone, timeout_s=60, what="the last one is gone")
