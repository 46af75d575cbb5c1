"""What arrives in one turn of the event loop is answered together, and nothing overtakes it."""

import asyncio

import pytest

from runtime.http.answer import Answer
from runtime.http.routes import RouteTable
from runtime.rounds import Round
from tests.fastpath.support import HOT, bodies, fast_bench, on_bench, pass_seconds, save, statuses
from tests.fastpath.test_order import Shelf


class Log:
    """What happened, in order; it takes part in rounds as connection and transport."""

    def __init__(
        self,
        events: list[str],
        name: str,
        rounds: Round,
        *,
        broken: str = "",
        error: type[BaseException] = ZeroDivisionError,
    ) -> None:
        self._events = events
        self._name = name
        self._rounds = rounds
        self._broken = broken
        self._error = error
        self.transport = self

    def look(self, data: bytes) -> None:
        self._happens("look")
        self._rounds.send(self, data)

    def write(self, data: bytes) -> None:
        self._happens("write")

    def abort(self) -> None:
        self._happens("abort")

    def _happens(self, event: str) -> None:
        self._events.append(f"{event} {self._name}")
        if event == self._broken:
            raise self._error


@on_bench
async def test_all_is_looked_up_before_anything_is_written():
    events: list[str] = []
    rounds = Round(asyncio.get_running_loop())
    for name in "abc":
        rounds.take(Log(events, name, rounds), b"x")
    assert events == []
    await asyncio.sleep(0)
    assert events == ["look a", "look b", "look c", "write a", "write b", "write c"]
    rounds.take(Log(events, "d", rounds), b"x")
    await asyncio.sleep(0)
    assert events[6:] == ["look d", "write d"]


@on_bench
async def test_the_first_of_very_many_does_not_wait_for_the_last():
    events: list[str] = []
    rounds = Round(asyncio.get_running_loop())
    for number in range(1_000):
        rounds.take(Log(events, str(number), rounds), b"x")
    rounds.finish()
    assert len(events) == 2_000
    assert events.index("write 0") < events.index("look 100")


@on_bench
async def test_an_answer_outside_a_round_leaves_at_once():
    events: list[str] = []
    rounds = Round(asyncio.get_running_loop())
    first, second = (Log(events, name, rounds) for name in "ab")
    first.look(b"x")
    assert events == ["look a", "write a"]
    rounds.take(first, b"x")
    second.look(b"x")
    assert events[2:] == ["look b", "write b"]
    rounds.finish()
    second.look(b"x")
    assert events[4:] == ["look a", "write a", "look b", "write b"]
    await asyncio.sleep(0)
    assert len(events) == 8


@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError])
@pytest.mark.parametrize("broken", ["look", "write"])
@on_bench
async def test_one_that_breaks_ends_alone(broken, error):
    events: list[str] = []
    rounds = Round(asyncio.get_running_loop())
    for name in "abc":
        one = Log(events, name, rounds, broken=broken if name == "b" else "", error=error)
        rounds.take(one, b"x")
    await asyncio.sleep(0)
    assert [each for each in events if each.startswith("write")][-1] == "write c"
    assert "write a" in events
    assert [each for each in events if each.startswith("abort")] == ["abort b"]


@on_bench
async def test_a_mistake_of_ours_ends_one_connection_and_no_other():
    bench = fast_bench()
    wires = [bench.connect() for _ in range(3)]

    def broken(data: bytes) -> None:
        raise ZeroDivisionError

    wires[1].protocol._feed = broken
    for wire in wires:
        wire.receive_more(HOT)
    await bench.settle()
    assert [wire.aborted for wire in wires] == [False, True, False]
    assert [statuses(wire) for wire in wires] == [[200], [], [200]]


@on_bench
async def test_requests_of_several_connections_are_looked_up_together():
    events: list[bytes] = []
    routes = RouteTable()

    def look_up(query: bytes) -> Answer:
        events.append(query)
        return Answer(200, query)

    routes.read(b"GET", b"/hot", look_up)
    bench = fast_bench(routes)
    wires = [bench.connect() for _ in range(3)]
    for _ in range(2):
        for number, wire in enumerate(wires):
            wire.receive_more(b"GET /hot?%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        await bench.settle()
    for wire in wires:
        wire.receive_more(HOT)
    assert events == [b"0", b"1", b"2"] * 2
    await bench.settle()
    assert [bodies(wire) for wire in wires] == [[b"%d" % n] * 2 + [b"a=1"] for n in range(3)]


@on_bench
async def test_what_comes_behind_a_request_in_the_same_turn_waits_for_it():
    wire = fast_bench().connect()
    wire.receive(HOT)
    for query in (b"1", b"2", b"3"):
        wire.receive_more(HOT.replace(b"a=1", query))
    wire.receive_more(HOT[:20])
    wire.receive_more(HOT[20:])
    assert bodies(wire)[1:] == [
        b'{"query": "1"}',
        b'{"query": "2"}',
        b'{"query": "3"}',
        b'{"query": "a=1"}',
    ]


@on_bench
async def test_a_client_that_closes_its_side_in_the_same_turn_is_answered():
    wire = fast_bench().connect()
    wire.receive(HOT)
    wire.receive_more(HOT)
    assert not wire.protocol.eof_received()
    assert len(wire._sent.split(b"200 OK")) == 3, "before the transport closes"


@on_bench
async def test_a_request_that_arrived_before_the_client_left_is_looked_at():
    asked: list[bytes] = []
    routes = RouteTable()
    routes.later(b"GET", b"/me", lambda request, reply: asked.append(request.query))
    wire = fast_bench(routes).connect()
    wire.receive_more(b"GET /me?1 HTTP/1.1\r\nHost: a\r\n\r\n")
    wire.protocol.connection_lost(None)
    assert asked == [b"1"]
    assert not wire.protocol._turns, "and nobody waits for the answer"


@on_bench
async def test_what_is_too_long_for_a_usual_read_is_not_held():
    bench = fast_bench()
    wire = bench.connect()
    wire.receive(HOT)
    for length, held in ((8_000, True), (20_000, False), (200_000, False)):
        wire.receive_more(HOT.replace(b"a=1", b"x" * length))
        assert wire.protocol._held is held
        await bench.settle()
    assert statuses(wire) == [200, 200, 200, 431]


@on_bench
async def test_a_write_begins_within_the_turn_that_brings_it():
    shelf = Shelf()
    wire = fast_bench(shelf.routes).connect()
    for number in (0, 1, 2):
        wire.receive_more(save(b"%d" % number))
        assert len(shelf.waiting) == number + 1
        shelf.answer(number)
        assert len(wire._sent.split(b"200 OK")) == number + 2


@on_bench
async def test_a_client_that_does_not_read_stops_what_came_behind_its_answer():
    routes = RouteTable()
    routes.read(b"GET", b"/hot", lambda query: Answer(200, b"x" * 100_000))
    bench = fast_bench(routes)
    wire = bench.connect(reads=False)
    wire.receive(HOT)
    wire.client_reads(200_000)
    for _ in range(50):
        wire.receive_more(HOT)
    assert len(bodies(wire)) == 2
    assert wire.protocol.flow.write_paused
    for _ in range(48):
        wire.client_reads(200_000)
        await bench.settle()
    assert len(bodies(wire)) > 40
    assert wire.most_unread_bytes < 300_000


@on_bench
async def test_a_request_that_has_just_arrived_is_answered_before_idle_connections_close():
    bench = fast_bench(keep_alive_s=5)
    wire = bench.connect()
    wire.receive(HOT)
    pass_seconds(bench, 5)
    wire.receive_more(HOT)
    pass_seconds(bench, 1)
    assert statuses(wire) == [200, 200]
    assert not wire.closing


@on_bench
async def test_a_request_that_has_just_arrived_is_answered_by_a_worker_that_leaves():
    bench = fast_bench()
    wires = [bench.connect() for _ in range(2)]
    for wire in wires:
        wire.receive(HOT)
        wire.receive_more(HOT)
    for wire in wires:
        wire.protocol.shutdown()
    assert [statuses(wire) for wire in wires] == [[200, 200]] * 2
    for wire in wires:
        wire.receive(HOT)
        assert statuses(wire) == [200, 200, 200]
        assert wire.closing, "it said so in the last answer"
