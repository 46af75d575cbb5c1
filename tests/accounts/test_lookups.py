"""Sessions that memory does not know are asked for together, beside the event loop."""

import asyncio
import threading
import time
from collections.abc import Sequence
from uuid import uuid4

import pytest
from django.db import OperationalError

from accounts.fastpath import BUSY, STORE_AWAY, UNAUTHORIZED
from accounts.lookups import _THREADS, _WAITING_MOST, Lookups
from accounts.people import CheckedSession, Person
from accounts.sessions import Sessions


def person(name: str) -> Person:
    return Person(user_id=1, session_id=uuid4(), username=name, nickname="", image="")


class Stores(Sessions):
    """Stores that answer when they are let to. All know `ann` and `bob`."""

    def __init__(self) -> None:
        super().__init__(redis=None, password_memory_s=0)  # type: ignore[arg-type]
        self.people = {name.encode(): person(name) for name in ("ann", "bob")}
        self.questions: list[list[bytes]] = []
        self.asked = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.away = False

    def check_stores(self, digests: Sequence[bytes]) -> dict[bytes, Person]:
        """Ann's session is also in Redis."""
        self.questions.append(list(digests))
        self.asked.release()
        assert self.go_on.wait(60)
        if self.away:
            self._remember(b"ann")
            raise OperationalError("away")
        return {each: self.people[each] for each in digests if each in self.people}

    def _remember(self, name: bytes) -> None:
        session = CheckedSession(person=self.people[name], until_s=time.time() + 60)
        self.memory.put(name, session, began_s=time.monotonic())


async def ask_while_all_are_busy(stores: Stores, later: list[bytes]) -> list[object]:
    """What is told about `later`, which come while every thread waits for its answer."""
    loop = asyncio.get_running_loop()
    lookups = Lookups(stores, loop)
    answers: list[asyncio.Future[object]] = []

    def look_up(digest: bytes) -> None:
        answers.append(future := loop.create_future())
        lookups.look_up(digest, future.set_result)

    try:
        for number in range(_THREADS):
            look_up(b"first %d" % number)
        for _ in range(_THREADS):
            assert await loop.run_in_executor(None, stores.asked.acquire, True, 60)
        for digest in later:
            look_up(digest)
        stores.go_on.set()
        return (await asyncio.wait_for(asyncio.gather(*answers), 60))[_THREADS:]
    finally:
        stores.go_on.set()
        lookups.stop()


def test_those_who_come_meanwhile_are_asked_for_in_one_question() -> None:
    stores = Stores()
    later = [b"ann", b"nobody", b"bob", b"ann"]
    told = asyncio.run(ask_while_all_are_busy(stores, later))
    ann, bob = stores.people[b"ann"], stores.people[b"bob"]
    assert told == [ann, UNAUTHORIZED, bob, ann]
    assert stores.questions[_THREADS:] == [[b"ann", b"nobody", b"bob"]]


def test_who_comes_after_a_question_is_not_given_its_answer() -> None:
    stores = Stores()
    asyncio.run(ask_while_all_are_busy(stores, [b"first 0"]))
    assert stores.questions.count([b"first 0"]) == 2


def test_no_question_is_too_long() -> None:
    stores = Stores()
    later = [b"%d" % number for number in range(350)]
    told = asyncio.run(ask_while_all_are_busy(stores, later))
    assert told == [UNAUTHORIZED] * 350
    assert max(map(len, stores.questions)) <= 100
    assert sorted(each for question in stores.questions[_THREADS:] for each in question) == sorted(
        later
    )


def test_while_no_store_can_tell_all_are_told_so() -> None:
    stores = Stores()
    stores.away = True
    assert asyncio.run(ask_while_all_are_busy(stores, [b"ann", b"bob"])) == [STORE_AWAY] * 2


def test_while_postgresql_is_away_what_redis_knows_is_told() -> None:
    stores = Stores()
    stores.away = True
    stores.memory.trust()
    told = asyncio.run(ask_while_all_are_busy(stores, [b"ann", b"bob"]))
    assert told == [stores.people[b"ann"], STORE_AWAY]


def test_an_error_that_nobody_foresaw_is_answered_and_the_next_one_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stores = Stores()
    monkeypatch.setattr(stores, "check_stores", None)
    stores.asked.release(_THREADS)
    told = asyncio.run(ask_while_all_are_busy(stores, [b"ann"]))
    assert told == [STORE_AWAY]


def test_an_answer_that_cannot_be_given_keeps_nobody_from_theirs() -> None:
    def gone(_: object) -> None:
        raise LookupError

    async def run() -> object:
        loop = asyncio.get_running_loop()
        stores, answer = Stores(), loop.create_future()
        stores.go_on.set()
        lookups = Lookups(stores, loop)
        lookups.look_up(b"x", lambda _: None)
        lookups.look_up(b"y", lambda _: None)
        lookups.look_up(b"ann", gone)
        lookups.look_up(b"ann", answer.set_result)
        try:
            return await asyncio.wait_for(answer, 60)
        finally:
            lookups.stop()

    assert isinstance(asyncio.run(run()), Person)


def test_too_many_are_refused_at_once() -> None:
    stores = Stores()
    told = asyncio.run(ask_while_all_are_busy(stores, [b"ann"] * _WAITING_MOST))
    assert told.count(BUSY) == _THREADS
    assert told.count(stores.people[b"ann"]) == _WAITING_MOST - _THREADS


class Finding(Stores):
    """Whoever asks for anybody finds Ann as well."""

    def check_stores(self, digests: Sequence[bytes]) -> dict[bytes, Person]:
        people = super().check_stores(digests)
        self._remember(b"ann")
        return people


def test_what_was_found_meanwhile_is_not_asked_for() -> None:
    stores = Finding()
    stores.memory.trust()
    told = asyncio.run(ask_while_all_are_busy(stores, [b"ann"]))
    assert told == [stores.people[b"ann"]]
    assert [b"ann"] not in stores.questions
