"""A worker that stops answers what it has accepted, and cuts nobody who is about to ask."""

from tests.fastpath.support import HOT, SLOW, fast_bench, on_bench, save, statuses
from tests.fastpath.test_order import Shelf
from tests.fastpath.wire import answers


def says_close(wire) -> list[bool]:
    return [headers.get(b"connection") == b"close" for _, headers, _ in answers(wire.sent)]


@on_bench
async def test_an_idle_connection_is_not_cut_and_its_next_answer_says_close():
    bench = fast_bench()
    wire = bench.connect()
    wire.receive(HOT)
    wire.protocol.shutdown()
    assert not wire.ended
    wire.receive(HOT)
    assert says_close(wire) == [False, True]
    assert wire.ended


@on_bench
async def test_the_next_answer_of_the_application_says_close():
    bench = fast_bench()
    wire = bench.connect()
    wire.protocol.shutdown()
    wire.receive(SLOW)
    await bench.settle()
    assert says_close(wire) == [True]
    assert wire.ended


@on_bench
async def test_a_burst_is_answered_whole():
    bench = fast_bench()
    wire = bench.connect()
    wire.protocol.shutdown()
    wire.receive(HOT * 3 + SLOW + HOT + save(b"x", b"later"))
    await bench.settle()
    assert statuses(wire) == [200] * 6
    assert says_close(wire) == [False] * 5 + [True]
    assert wire.ended


@on_bench
async def test_what_is_under_way_is_answered():
    shelf = Shelf()
    bench = fast_bench(shelf.routes)
    waiting, running = bench.connect(), bench.connect()
    waiting.receive(save(b"1") + HOT)
    running.receive(SLOW)
    for wire in (waiting, running):
        wire.protocol.shutdown()
        wire.protocol.dismiss()
    await bench.settle()
    assert says_close(running) == [True]
    assert running.ended
    assert not waiting.ended
    shelf.answer(0)
    assert says_close(waiting) == [False, True]
    assert waiting.ended


@on_bench
async def test_a_request_that_has_begun_to_arrive_is_answered():
    bench = fast_bench()
    wire = bench.connect()
    wire.receive(HOT[:10])
    wire.protocol.shutdown()
    wire.protocol.dismiss()
    wire.receive(HOT[10:])
    assert says_close(wire) == [True]


@on_bench
async def test_after_the_grace_the_idle_are_closed():
    bench = fast_bench()
    wire = bench.connect()
    wire.receive(HOT)
    wire.protocol.shutdown()
    wire.protocol.dismiss()
    assert wire.ended


@on_bench
async def test_a_connection_accepted_at_the_last_moment_is_served_once():
    bench = fast_bench()
    bench.connect().protocol.shutdown()
    late = bench.connect()
    late.receive(HOT)
    assert says_close(late) == [True]
    assert late.ended
