"""Rate limits over a real Redis: exact whoever asks, told for how long, open when Redis is away."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from uuid import uuid4

import pytest
import redis
from django.conf import settings

from runtime.limiter import SCRIPT, Limiter, Rate, evaluate_over
from runtime.redis_link import LinkLostError, NotConnectedError, RedisLink, ReplyError
from tests.support.stack import wait_until

SLOW = Rate(per_s=0.001, burst=5)


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.REDIS_URL) as one:
        yield one


class Asking:
    """A limiter, what it was told to skip, and how often it ran the script."""

    def __init__(self, client: redis.Redis) -> None:
        self.runs = 0
        self.skipped = 0
        self.error: Exception | None = None
        self._script = client.register_script(SCRIPT)
        self.limiter = Limiter(evaluate=self._evaluate, skipped=self._skip)

    async def _evaluate(self, keys: Sequence[bytes], words: Sequence[bytes]) -> list[int]:
        self.runs += 1
        if self.error:
            raise self.error
        verdict: list[int] = self._script(keys=list(keys), args=list(words))
        return verdict

    def _skip(self, count: int) -> None:
        self.skipped += count

    def ask(self, *requests: tuple) -> list[float]:
        """Ask for all requests, each a tuple of subjects, in one turn of the loop."""

        async def all_at_once() -> list[float]:
            told: dict[int, float] = {}
            for number, subjects in enumerate(requests):
                self.limiter.ask(subjects, partial(told.__setitem__, number))
            await self.limiter.stop()
            return [told[number] for number in range(len(requests))]

        return asyncio.run(all_at_once())


@pytest.fixture
def asking(client: redis.Redis) -> Asking:
    return Asking(client)


@pytest.fixture
def name() -> Callable[[], bytes]:
    return lambda: b"tests:" + uuid4().hex.encode()


def test_a_bucket_holds_what_it_holds(asking, name):
    subject = (name(), SLOW)
    told = asking.ask(*[(subject,)] * 8)
    assert told[:5] == [0.0] * 5
    assert all(990 < wait_s <= 1000 for wait_s in told[5:])
    assert asking.runs == 1
    assert asking.skipped == 0


def test_all_workers_share_it(client, name):
    subject = (name(), SLOW)
    told = [Asking(client).ask(*[(subject,)] * 2) for _ in range(4)]
    assert sum(wait_s == 0.0 for each in told for wait_s in each) == 5


def test_a_request_needs_a_place_in_every_bucket(asking, name):
    narrow, wide = (name(), Rate(per_s=0.001, burst=2)), (name(), SLOW)
    told = asking.ask(*[(narrow, wide)] * 4)
    assert [wait_s == 0.0 for wait_s in told] == [True, True, False, False]
    # What was refused for one took nothing from the other.
    told = asking.ask(*[(wide,)] * 4)
    assert [wait_s == 0.0 for wait_s in told] == [True, True, True, False]


def test_others_are_not_held_back(asking, name):
    full, free = (name(), SLOW), (name(), SLOW)
    asking.ask(*[(full,)] * 9)
    assert asking.ask((full,), (free,))[1] == 0.0


def test_the_bucket_fills_again(asking, name, client):
    subject = (name(), Rate(per_s=20.0, burst=1))
    [first, wait_s] = asking.ask((subject,), (subject,))
    assert first == 0.0
    assert 0 < wait_s <= 0.05
    wait_until(lambda: asking.ask((subject,)) == [0.0], timeout_s=60, what="a free place")
    # A full bucket is no key at all.
    wait_until(lambda: not client.exists(b"limit:" + subject[0]), timeout_s=60, what="it is full")


def test_many_subjects_take_several_runs(asking, name):
    requests = [((name(), SLOW),) for _ in range(1200)]
    assert asking.ask(*requests) == [0.0] * 1200
    assert asking.runs == 3


@pytest.mark.parametrize(
    "error", [NotConnectedError(), LinkLostError(), ReplyError("OOM"), TimeoutError()]
)
def test_redis_away_lets_everybody_through(asking, name, error):
    asking.error = error
    subject = (name(), SLOW)

    async def twice() -> list[float]:
        told: list[float] = []
        for _ in range(7):
            asking.limiter.ask((subject,), told.append)
        await asking.limiter.stop()
        # Now nobody waits for the next failure.
        asking.limiter.ask((subject,), told.append)
        return told

    assert asyncio.run(twice()) == [0.0] * 8
    assert asking.skipped == 8
    assert asking.runs == 1


@pytest.mark.parametrize(("per_s", "burst"), [(0, 1), (-1, 1), (2e6, 1), (1, 0)])
def test_what_is_no_rate(per_s, burst):
    with pytest.raises(ValueError, match="no rate"):
        Rate(per_s=per_s, burst=burst)


def test_the_link_hands_the_script_over_again_when_redis_forgot_it(client, name):
    subject = (name(), SLOW)

    async def ask_twice() -> list[float]:
        link = RedisLink(settings.REDIS_URL, "")
        link.start(asyncio.get_running_loop())
        assert await link.wait_connected(10)
        limiter = Limiter(evaluate=evaluate_over(link), skipped=lambda count: None)
        told: list[float] = []
        for _ in range(2):
            await asyncio.to_thread(client.script_flush)
            for _ in range(3):
                limiter.ask((subject,), told.append)
            await limiter.stop()
        await link.stop()
        return told

    assert [wait_s == 0.0 for wait_s in asyncio.run(ask_twice())] == [True] * 5 + [False]
