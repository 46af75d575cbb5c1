"""Answers leave in the order of the requests, whatever each of them has to wait for."""

import json

import pytest

from runtime.http.answer import UNKNOWN, Answer
from runtime.http.routes import HotRequest, Reply, RouteTable
from tests.fastpath.app import echo
from tests.fastpath.support import HOT, LARGE, SLOW, bodies, fast_bench, on_bench, save, statuses
from tests.fastpath.wire import answers


class Shelf:
    """A durable write whose answers the test gives when it likes."""

    def __init__(self) -> None:
        self.waiting: list[tuple[HotRequest, Reply]] = []
        self.routes = RouteTable()
        self.routes.read(b"GET", b"/hot", echo)
        self.routes.write(b"POST", b"/save", self.save)

    def save(self, request, reply):
        self.waiting.append((request, reply))

    def answer(self, number: int) -> None:
        request, reply = self.waiting[number]
        reply(Answer(200, b'"%b"' % request.body))


def broken_save(request: HotRequest, reply: Reply) -> None:
    raise ZeroDivisionError


@on_bench
async def test_a_burst_of_hot_requests_is_answered_in_one_write():
    wire = fast_bench().connect()
    wire.receive(HOT * 20)
    assert statuses(wire) == [200] * 20
    assert wire.writes == 1


@on_bench
async def test_hot_requests_wait_for_a_slow_one_before_them():
    bench = fast_bench()
    wire = bench.connect()
    wire.receive(HOT + SLOW + HOT + SLOW + HOT)
    assert statuses(wire) == [200]
    assert wire.paused
    await bench.settle()
    paths = [json.loads(body).get("path", "hot") for body in bodies(wire)]
    assert paths == ["hot", "/slow", "hot", "/slow", "hot"]
    assert not wire.paused


@on_bench
async def test_a_hot_read_waits_for_the_durable_write_before_it():
    shelf = Shelf()
    wire = fast_bench(shelf.routes).connect()
    wire.receive(save(b"x") + HOT)
    assert wire.sent == b""
    shelf.answer(0)
    assert bodies(wire) == [b'"x"', b'{"query": "a=1"}']


@on_bench
async def test_durable_writes_begin_together_and_answer_in_order():
    shelf = Shelf()
    wire = fast_bench(shelf.routes).connect()
    wire.receive(save(b"1") + save(b"2") + save(b"3") + HOT + save(b"4"))
    assert [request.body for request, _ in shelf.waiting] == [b"1", b"2", b"3"]
    shelf.answer(1)
    assert wire.sent == b""
    shelf.answer(0)
    assert bodies(wire) == [b'"1"', b'"2"']
    shelf.answer(2)
    assert len(shelf.waiting) == 4, "what came behind the read begins when it is answered"
    shelf.answer(3)
    assert bodies(wire) == [b'"1"', b'"2"', b'"3"', b'{"query": "a=1"}', b'"4"']


@on_bench
async def test_a_durable_write_behind_a_slow_request_begins_after_it():
    shelf = Shelf()
    bench = fast_bench(shelf.routes)
    wire = bench.connect()
    wire.receive(SLOW + save(b"1"))
    assert shelf.waiting == []
    await bench.settle()
    shelf.answer(0)
    assert statuses(wire) == [200, 200]


@on_bench
async def test_a_durable_write_sees_its_request():
    shelf = Shelf()
    wire = fast_bench(shelf.routes).connect()
    wire.receive(save(b"body", b"q=1", b"Idempotency-Key: k", b"Authorization: Token t"))
    request = shelf.waiting[0][0]
    assert (request.query, request.body, request.client) == (b"q=1", b"body", "127.0.0.1")
    assert request.header(b"idempotency-key") == b"k"
    assert request.header(b"authorization") == b"Token t"
    assert request.header(b"cookie") is None


@on_bench
async def test_a_body_in_many_pieces_is_one_body():
    shelf = Shelf()
    wire = fast_bench(shelf.routes).connect()
    for byte in save(b"a body in pieces"):
        wire.receive(bytes([byte]))
    assert shelf.waiting[0][0].body == b"a body in pieces"


@on_bench
async def test_answering_twice_is_refused_and_sends_once():
    shelf = Shelf()
    wire = fast_bench(shelf.routes).connect()
    wire.receive(save(b"1"))
    shelf.answer(0)
    with pytest.raises(RuntimeError, match="once"):
        shelf.answer(0)
    assert statuses(wire) == [200]


@on_bench
async def test_a_client_that_leaves_does_not_disturb_its_durable_write():
    shelf = Shelf()
    bench = fast_bench(shelf.routes)
    wire = bench.connect()
    wire.receive(save(b"1") + HOT)
    wire.close()
    await bench.settle()
    shelf.answer(0)
    assert wire.sent == b""
    assert wire.late_writes == 0
    assert not bench.server_state.connections


@on_bench
async def test_a_client_that_only_closes_its_side_gets_its_answers():
    shelf = Shelf()
    wire = fast_bench(shelf.routes).connect()
    wire.receive(save(b"1") + HOT)
    assert wire.protocol.eof_received() is True
    assert not wire.ended
    shelf.answer(0)
    assert bodies(wire) == [b'"1"', b'{"query": "a=1"}']
    assert wire.ended


@on_bench
async def test_an_idle_client_that_closes_its_side_is_closed():
    wire = fast_bench().connect()
    wire.receive(HOT)
    assert not wire.protocol.eof_received()


@on_bench
async def test_a_broken_handler_answers_500_and_closes_as_the_plain_server_does(caplog):
    bench = fast_bench()
    broken = b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n"
    for requests in ([broken], [HOT, broken], [SLOW + broken + HOT], [HOT + broken + HOT]):
        wire = bench.connect()
        for each in requests:
            wire.receive(each)
        await bench.settle()
        assert statuses(wire)[-1] == 500
        assert bodies(wire)[-1] == b'{"msg":"internal error"}'
        assert wire.ended
    assert [record.exc_info[0] for record in caplog.records] == [ZeroDivisionError] * 4


@on_bench
async def test_a_broken_durable_write_answers_500(caplog):
    routes = RouteTable()
    routes.write(b"POST", b"/save", broken_save)
    wire = fast_bench(routes).connect()
    wire.receive(save(b"1"))
    assert statuses(wire) == [500]
    assert wire.ended
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


@on_bench
async def test_after_connection_close_nothing_more_is_answered():
    wire = fast_bench().connect()
    wire.receive(b"GET /hot HTTP/1.1\r\nConnection: close\r\n\r\n" + HOT)
    [(status, headers, _)] = answers(wire.sent)
    assert (status, headers[b"connection"]) == (200, b"close")
    assert wire.ended


@on_bench
async def test_after_connection_close_no_durable_write_begins():
    shelf = Shelf()
    wire = fast_bench(shelf.routes).connect()
    wire.receive(save(b"1", b"", b"Connection: close") + save(b"2"))
    assert [request.body for request, _ in shelf.waiting] == [b"1"]
    shelf.answer(0)
    assert bodies(wire) == [b'"1"']
    assert wire.ended


@on_bench
async def test_nothing_is_answered_while_the_client_does_not_read():
    """One piece of input can ask for a thousand times its size."""
    bench = fast_bench()
    wire = bench.connect(reads=False)
    for _ in range(5):
        wire.receive(LARGE * 200)
    assert wire.most_unread_bytes < 300_000
    assert wire.paused
    assert wire.unreceived_bytes > 0, "input waits where the client notices"
    other = bench.connect()
    other.receive(HOT)
    assert statuses(other) == [200]
    while wire.unread_bytes:
        wire.client_reads(50_000)
        await bench.settle()
    assert statuses(wire) == [200] * 1_000
    assert wire.most_unread_bytes < 300_000


@on_bench
async def test_the_shortcut_is_taken_and_answers_the_same():
    wire = fast_bench().connect()
    parsed = []
    feed = wire.protocol._feed

    def spy(data: bytes) -> None:
        parsed.append(data)
        feed(data)

    wire.protocol._feed = spy
    for _ in range(5):
        wire.receive(HOT)
    assert len(parsed) == 1, "the same headers are parsed once"
    assert len(set(map(str, answers(wire.sent)))) == 1
    other = HOT.replace(b"Host: a", b"Host: b")
    for data in (other, HOT + HOT, HOT[:20], HOT[20:], HOT.replace(b"a=1", b"a#1")):
        wire.receive(data)
    assert parsed[1:] == [other, HOT + HOT, HOT[:20], HOT[20:], HOT.replace(b"a=1", b"a#1")]


@on_bench
async def test_what_has_a_body_takes_the_shortcut_too():
    shelf = Shelf()
    bench = fast_bench(shelf.routes)
    wire = bench.connect()
    parsed = []
    feed = wire.protocol._feed

    def spy(data: bytes) -> None:
        parsed.append(data)
        feed(data)

    wire.protocol._feed = spy
    head = [b"Authorization: Token t"]
    for number, body in enumerate([b"a", b"b", b"cc", b"d", b"ee"]):
        wire.receive(save(body, b"q=%d" % number, *head))
        assert bench.server_state.total_requests == 0
        shelf.answer(number)
    assert [each[-2:] for each in parsed] == [b"\na", b"cc"], "each length of body once"
    assert bodies(wire) == [b'"a"', b'"b"', b'"cc"', b'"d"', b'"ee"']
    request = shelf.waiting[4][0]
    assert (request.query, request.client) == (b"q=4", "127.0.0.1")
    assert request.header(b"authorization") == b"Token t"
    # Other connections need not learn it again.
    other = bench.connect()
    other.protocol._feed = spy
    other.receive(save(b"x", b"", *head))
    shelf.answer(5)
    assert (len(parsed), bodies(other)) == (2, [b'"x"'])


@on_bench
async def test_what_comes_behind_a_write_on_the_shortcut_waits_for_it():
    shelf = Shelf()
    wire = fast_bench(shelf.routes).connect()
    for number in (0, 1):
        wire.receive(save(b"%d" % number))
        shelf.answer(number)
    wire.receive(save(b"2"))
    wire.receive(save(b"3") + HOT)
    shelf.answer(3)
    assert bodies(wire) == [b'"0"', b'"1"']
    shelf.answer(2)
    assert bodies(wire) == [b'"0"', b'"1"', b'"2"', b'"3"', b'{"query": "a=1"}']


@on_bench
async def test_an_answer_on_the_shortcut_waits_for_a_client_that_does_not_read():
    shelf = Shelf()
    shelf.routes.read(b"GET", b"/large", lambda _: Answer(200, b"x" * 100_000))
    bench = fast_bench(shelf.routes)
    wire = bench.connect(reads=False)
    for number in (0, 1):
        wire.receive(save(b"%d" % number))
        shelf.answer(number)
    wire.receive(save(b"2"))
    wire.protocol.pause_writing()
    shelf.answer(2)
    assert bodies(wire) == [b'"0"', b'"1"']
    wire.protocol.resume_writing()
    assert bodies(wire) == [b'"0"', b'"1"', b'"2"']
    wire.receive(save(b"3"))
    shelf.answer(3)
    assert len(bodies(wire)) == 4


@on_bench
async def test_a_later_read_sees_headers_and_may_answer_at_once():
    seen = []

    def whoami(request: HotRequest, reply: Reply) -> None:
        seen.append(request)
        reply(Answer(200, request.header(b"authorization") or b"nobody"))

    routes = RouteTable()
    routes.later(b"GET", b"/me", whoami)
    wire = fast_bench(routes).connect()
    for token in (b"1", b"1", b"2", b"1"):
        wire.receive(b"GET /me?q HTTP/1.1\r\nAuthorization: %b\r\n\r\n" % token)
    assert bodies(wire) == [b"1", b"1", b"2", b"1"]
    assert {(request.query, request.body) for request in seen} == {(b"q", b"")}
    assert wire.writes == 4
    wire.receive(b"GET /me HTTP/1.1\r\nContent-Length: 1\r\n\r\nx")
    assert len(seen) == 4, "a read has no body"


@pytest.mark.parametrize("usual", [0, 2])
@on_bench
async def test_when_nobody_knows_nothing_is_said(usual):
    shelf = Shelf()
    wire = fast_bench(shelf.routes).connect()
    for number in range(usual):
        wire.receive(save(b"x"))
        shelf.answer(number)
    wire.receive(save(b"1"))
    wire.receive(save(b"2") + HOT)
    shelf.answer(usual + 1)
    shelf.waiting[usual][1](UNKNOWN)
    assert wire.ended
    assert bodies(wire) == [b'"x"'] * usual
    assert wire.late_writes == 0


@on_bench
async def test_answers_before_the_unknown_one_are_given():
    shelf = Shelf()
    wire = fast_bench(shelf.routes).connect()
    wire.receive(save(b"1") + save(b"2"))
    shelf.waiting[1][1](UNKNOWN)
    assert not wire.ended
    shelf.answer(0)
    assert bodies(wire) == [b'"1"']
    assert wire.ended
