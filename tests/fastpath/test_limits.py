"""What a connection may take of a worker, and what happens when it takes more."""

import tracemalloc

import pytest

from tests.fastpath.support import (
    HOT,
    SLOW,
    bodies,
    fast_bench,
    on_bench,
    pass_seconds,
    save,
    statuses,
)


@pytest.mark.parametrize("piece_bytes", [1_000, 60_000, 1_100_000])
@pytest.mark.parametrize("name", ["one long header", "many headers", "a long path"])
def test_1_mib_of_headers_is_refused(name, piece_bytes):
    head = {
        "one long header": b"GET /hot HTTP/1.1\r\nX: " + b"x" * 1_048_576,
        "many headers": b"GET /hot HTTP/1.1\r\n" + b"X: y\r\n" * 174_763,
        "a long path": b"GET /" + b"x" * 1_048_576,
    }[name]

    @on_bench
    async def run():
        wire = fast_bench().connect()
        for start in range(0, len(head), piece_bytes):
            wire.receive(head[start : start + piece_bytes])
        assert statuses(wire) == [431]
        assert bodies(wire) == [b'{"msg":"headers: are too large"}']
        assert wire.ended

    run()


@on_bench
async def test_headers_below_the_limit_are_taken_in_any_pieces():
    for size_bytes in (1, 1_000, 100_000):
        wire = fast_bench().connect()
        request = b"GET /hot?a=1 HTTP/1.1\r\n" + b"X: %b\r\n" % (b"y" * 8_000) * 8 + b"\r\n"
        for start in range(0, len(request), size_bytes):
            wire.receive(request[start : start + size_bytes])
        assert statuses(wire) == [200]


@on_bench
async def test_trailers_do_not_grow_without_end():
    bench = fast_bench()
    wire = bench.connect()
    wire.receive(b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: ")
    for _ in range(100):
        wire.receive(b"x" * 10_000)
    await bench.settle()
    assert statuses(wire) == [431]
    assert wire.ended


@on_bench
async def test_blank_lines_for_ever_end_as_an_idle_connection_does():
    bench = fast_bench(keep_alive_s=10)
    wire = bench.connect()
    for _ in range(12):
        wire.receive(b"\r\n" * 1000)
        pass_seconds(bench, 1)
    assert wire.ended


@on_bench
@pytest.mark.parametrize("path", [b"/save", b"/echo"])
async def test_a_declared_body_over_the_limit_is_refused_at_once(path):
    wire = fast_bench(body_bytes=1_000).connect()
    wire.receive(b"POST %b HTTP/1.1\r\nContent-Length: 1001\r\n\r\n" % path)
    assert statuses(wire) == [413]
    assert bodies(wire) == [b'{"msg":"body: is too large"}']
    assert wire.ended


@on_bench
@pytest.mark.parametrize("path", [b"/save", b"/echo"])
async def test_a_chunked_body_is_refused_when_it_passes_the_limit(path):
    bench = fast_bench(body_bytes=1_000)
    wire = bench.connect()
    wire.receive(b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" % path)
    for _ in range(10):
        wire.receive(b"64\r\n" + b"x" * 100 + b"\r\n")
        await bench.settle()
    assert wire.sent == b""
    wire.receive(b"1\r\nx\r\n")
    await bench.settle()
    assert statuses(wire) == [413]
    assert wire.ended
    assert not bench.server_state.tasks, "the application is told that the client is gone"


@on_bench
async def test_a_body_at_the_limit_is_taken():
    wire = fast_bench(body_bytes=1_000).connect()
    wire.receive(save(b"x" * 1_000))
    assert statuses(wire) == [200]


@on_bench
async def test_a_refusal_waits_for_the_answers_before_it():
    bench = fast_bench()
    wire = bench.connect()
    wire.receive(HOT + SLOW + HOT + b"nonsense\r\n\r\n" + HOT)
    await bench.settle()
    assert statuses(wire) == [200, 200, 200, 400]
    assert bodies(wire)[-1] == b'{"msg":"request: is not valid HTTP"}'
    assert wire.ended


@on_bench
async def test_a_refused_client_may_go_on_sending_until_it_has_read():
    """Closing with input unread would reset the connection, and the client might never see why."""
    bench = fast_bench(linger_s=2)
    wire = bench.connect()
    wire.receive(b"POST /save HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n")
    assert wire.half_closed
    assert not wire.closing
    wire.receive(b"x" * 1_000_000)
    pass_seconds(bench, 2)
    assert not wire.closing
    pass_seconds(bench, 1)
    assert wire.aborted


@on_bench
async def test_slow_headers_are_given_up():
    bench = fast_bench(head_s=5)
    wire = bench.connect()
    for byte in HOT[:5]:
        wire.receive(bytes([byte]))
        pass_seconds(bench, 1)
    assert wire.sent == b""
    wire.receive(HOT[5:6])
    pass_seconds(bench, 1)
    assert statuses(wire) == [408]
    assert wire.ended


@on_bench
@pytest.mark.parametrize("path", [b"/save", b"/echo"])
async def test_a_slow_body_is_given_up(path):
    bench = fast_bench(body_s=5)
    wire = bench.connect()
    wire.receive(b"POST %b HTTP/1.1\r\nContent-Length: 10\r\n\r\n" % path)
    for _ in range(5):
        wire.receive(b"x")
        await bench.settle()
        pass_seconds(bench, 1)
    assert wire.sent == b""
    pass_seconds(bench, 1)
    await bench.settle()
    assert statuses(wire) == [408]
    assert wire.ended
    assert not bench.server_state.tasks


@on_bench
async def test_what_is_answered_before_its_body_came_is_answered_once():
    bench = fast_bench(body_s=5)
    wire = bench.connect()
    wire.receive(b"POST /early HTTP/1.1\r\nContent-Length: 10\r\n\r\nx")
    await bench.settle()
    assert statuses(wire) == [200]
    pass_seconds(bench, 6)
    assert statuses(wire) == [200]
    assert wire.ended


@on_bench
async def test_a_body_that_keeps_coming_is_given_time():
    bench = fast_bench(body_s=5, body_rate_bytes=1_000)
    wire = bench.connect()
    wire.receive(b"POST /save HTTP/1.1\r\nContent-Length: 20000\r\n\r\n")
    for _ in range(20):
        wire.receive(b"x" * 1_000)
        pass_seconds(bench, 1)
    assert statuses(wire) == [200]


@on_bench
async def test_idle_connections_are_closed_without_a_word():
    bench = fast_bench(keep_alive_s=10)
    wire, silent = bench.connect(), bench.connect()
    pass_seconds(bench, 8)
    wire.receive(HOT)
    wire.receive(HOT)
    pass_seconds(bench, 3)
    assert (silent.ended, wire.ended) == (True, False)
    pass_seconds(bench, 8)
    assert (silent.ended, wire.ended) == (True, True)
    assert statuses(wire) == [200, 200]


@on_bench
async def test_a_connection_that_waits_for_its_answer_is_not_idle():
    bench = fast_bench(keep_alive_s=5)
    bench.state["hot_routes"].write(b"POST", b"/never", lambda request, reply: None)
    wire = bench.connect()
    wire.receive(b"POST /never HTTP/1.1\r\nContent-Length: 1\r\n\r\nx")
    pass_seconds(bench, 100)
    assert not wire.ended


@on_bench
async def test_a_client_that_never_reads_is_cut_off_and_one_that_reads_slowly_is_not():
    bench = fast_bench(send_s=10)
    stuck, slow = bench.connect(reads=False), bench.connect(reads=False)
    for wire in (stuck, slow):
        wire.receive(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    for _ in range(8):
        pass_seconds(bench, 5)
        slow.client_reads(5_000)
    assert stuck.aborted
    assert not slow.ended


@on_bench
async def test_2000_idle_connections_take_little_memory():
    bench = fast_bench()
    first = bench.connect()
    first.receive(HOT)
    tracemalloc.start()
    wires = [bench.connect() for _ in range(2_000)]
    for wire in wires:
        wire.receive(HOT)
        wire.sent.clear()
    taken_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken_bytes / len(wires) < 16_000
    assert len({id(wire.protocol._block) for wire in wires}) == 1
