"""Lanes of threads: all that is taken is answered on the loop, and a thread rests when it may."""

import asyncio
import threading
import time
from collections.abc import Callable

from runtime.lanes import _KEEP_S, _LINGER_S, Lane, _Keeping


def new_lane(
    rest: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
    **limits: float,
) -> Lane[int]:
    given = {"threads": 2, "waiting": 10, "patience_s": 60.0, **limits}
    return Lane(
        asyncio.get_running_loop(),
        name="test",
        threads=int(given["threads"]),
        waiting=int(given["waiting"]),
        patience_s=given["patience_s"],
        late=-1,
        rest=rest,
        clock=clock,
    )


async def answered(lane: Lane[int], works: list[Callable[[], int]]) -> list[int]:
    loop = asyncio.get_running_loop()
    futures: list[asyncio.Future[int]] = []
    for work in works:
        future = loop.create_future()
        futures.append(future)
        assert lane.take(work, future.set_result)
    return await asyncio.wait_for(asyncio.gather(*futures), 60)


def test_threads_rest_when_nobody_waits_and_not_before() -> None:
    rested: list[int] = []
    resting = threading.Event()

    def rest() -> None:
        rested.append(threading.get_ident())
        resting.set()

    async def run() -> None:
        lane = new_lane(rest, threads=1)
        begun, go_on = threading.Event(), threading.Event()

        def first() -> int:
            begun.set()
            go_on.wait(60)
            return 0

        def others() -> int:
            return len(rested)

        loop = asyncio.get_running_loop()
        answers = asyncio.create_task(answered(lane, [first, others, others, others]))
        await loop.run_in_executor(None, begun.wait, 60)
        before = len(rested)
        resting.clear()
        go_on.set()
        assert await answers == [0, before, before, before]
        assert lane.jobs == 0
        await loop.run_in_executor(None, resting.wait, 60)
        assert len(rested) == before + 1
        lane.stop()

    asyncio.run(run())


def test_a_full_line_takes_nothing_and_what_waited_too_long_is_not_begun() -> None:
    async def run() -> None:
        go_on = threading.Event()
        lane = new_lane(threads=1, waiting=1)
        waiting = asyncio.create_task(answered(lane, [lambda: int(go_on.wait(60)), lambda: 2]))
        await asyncio.sleep(0)
        assert not lane.take(lambda: 3, lambda _: None)
        go_on.set()
        assert await waiting == [1, 2]
        assert await answered(new_lane(patience_s=-1.0), [lambda: 4]) == [-1]
        lane.stop()

    asyncio.run(run())


def test_a_job_that_raises_is_late_and_its_thread_goes_on(caplog) -> None:
    def broken() -> int:
        raise ZeroDivisionError

    async def run() -> None:
        lane = new_lane(threads=1)
        assert await answered(lane, [broken, broken, lambda: 3]) == [-1, -1, 3]
        assert lane.jobs == 0
        lane.stop()

    asyncio.run(run())
    assert "unforeseen" in caplog.text


def test_a_trickle_of_jobs_does_not_keep_what_a_thread_has() -> None:
    now_s = 0.0
    keeping = _Keeping(lambda: now_s)
    assert keeping.linger_s() == _LINGER_S
    now_s = 2 * _KEEP_S
    assert keeping.linger_s() == 0
    keeping.begin()
    assert keeping.linger_s() == _LINGER_S


def test_a_flood_of_jobs_does_not_keep_what_a_thread_has_either() -> None:
    now_s = 0.0
    rested: list[float] = []

    def job() -> int:
        nonlocal now_s
        now_s += _KEEP_S / 4
        return len(rested)

    async def run() -> None:
        lane = new_lane(lambda: rested.append(now_s), lambda: now_s, threads=1, waiting=20)
        seen = await answered(lane, [job] * 20)
        assert seen[-1] - seen[0] in (3, 4)
        lane.stop()

    asyncio.run(run())


def test_a_lane_that_stops_drops_who_waits_and_its_threads_end() -> None:
    before = set(threading.enumerate())
    finished: list[int] = []
    go_on = threading.Event()

    def first() -> int:
        go_on.wait(60)
        finished.append(1)
        return 1

    def second() -> int:
        finished.append(2)
        return 2

    async def run() -> None:
        begun = new_lane(threads=1)
        begun.take(first, lambda _: None)
        begun.take(second, lambda _: None)
        while begun._line.qsize() > 1:
            await asyncio.sleep(0)
        begun.stop()

    asyncio.run(run())
    # The loop is closed by now: nobody is told.
    go_on.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    assert finished == [1]
    assert set(threading.enumerate()) <= before
