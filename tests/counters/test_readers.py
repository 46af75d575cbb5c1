"""Hot reads in threads: answered on the loop, whatever becomes of them."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from uuid import UUID, uuid4

import msgspec
import pytest
from django.db import OperationalError

from config.readers import ReadLane
from config.refusals import refusal
from counters.fastpath import TotalsDoor
from runtime.http.answer import Answer
from runtime.http.routes import HotRequest

DONE = Answer(200, b"{}")


def run(*works: Callable[[], Answer], waiting: int = 100) -> list[Answer]:
    """The answers of all works, handed over in one turn of the loop; each came on the loop."""

    async def all_at_once() -> list[Answer]:
        here, lane = threading.get_ident(), ReadLane(threads=2, waiting=waiting, refusal=refusal)
        futures = [asyncio.get_running_loop().create_future() for _ in works]

        def reply(future: asyncio.Future[Answer], answer: Answer) -> None:
            assert threading.get_ident() == here
            future.set_result(answer)

        for work, future in zip(works, futures, strict=True):
            lane.hand_over(work, partial(reply, future))
        try:
            return await asyncio.wait_for(asyncio.gather(*futures), 60)
        finally:
            lane.stop()

    return asyncio.run(all_at_once())


def test_work_is_done_elsewhere():
    threads: list[str] = []

    def work() -> Answer:
        threads.append(threading.current_thread().name)
        return DONE

    assert run(*[work] * 20) == [DONE] * 20
    assert all(name.startswith("hot-read") for name in threads)


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [(OperationalError("away"), 503, b"database"), (ZeroDivisionError(), 500, b"internal error")],
)
def test_what_goes_wrong_is_answered(error, status, word):
    def fail() -> Answer:
        raise error

    [answer] = run(fail)
    assert answer.status == status
    assert word in answer.body


def test_too_many_are_refused_at_once():
    answers = run(*[lambda: DONE] * 5, waiting=1)
    assert [answer.status for answer in answers] == [200, 200, 200, 503, 503]
    assert answers[-1].text_headers() == {"retry-after": "1"}


def test_nobody_is_read_for_who_has_waited_for_long(monkeypatch):
    monkeypatch.setattr(ReadLane, "patience_s", -1.0)
    [answer] = run(lambda: DONE)
    assert answer == ReadLane.busy


def test_totals_in_the_order_asked_for():
    asked: list[list[UUID]] = []

    def read(keys) -> list[dict[str, object]]:
        asked.append(keys)
        return [{"key": key, "value": 1} for key in keys]

    door = TotalsDoor(read, lambda work, reply: reply(work()))
    keys = [uuid4(), uuid4()]
    answers: list[Answer] = []
    query = f"key={keys[1]}&key={keys[0]}".encode()
    door.totals(HotRequest(query, b"", [], ""), answers.append)
    door.totals(HotRequest(b"key=x", b"", [], ""), answers.append)
    assert asked == [[keys[1], keys[0]]]
    good, bad = answers
    found = [UUID(each["key"]) for each in msgspec.json.decode(good.body)["counters"]]
    assert found == [keys[1], keys[0]]
    assert (bad.status, bad.body) == (400, b'{"msg":"key: must be a UUID"}')


def test_one_total_by_the_paths_last_segment():
    door = TotalsDoor(
        lambda keys: [{"key": key, "value": 1} for key in keys],
        lambda work, reply: reply(work()),
    )
    key = uuid4()
    answers: list[Answer] = []
    door.total(HotRequest(b"", b"", [], "", str(key).encode()), answers.append)
    door.total(HotRequest(b"", b"", [], "", b"\xff"), answers.append)
    good, bad = answers
    assert msgspec.json.decode(good.body) == {"key": str(key), "value": 1}
    assert (bad.status, bad.body) == (400, b'{"msg":"key: must be a UUID"}')
