"""Hints over a real Redis: told when there are some, never in the way when there are none."""

from collections.abc import Callable, Iterator

import pytest
import redis
from django.conf import settings

from runtime.pubsub import Publisher, Subscriber
from tests.support.stack import wait_until

CHANNEL = "tests:hints"
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    one = Subscriber(settings.REDIS_URL, CHANNEL, sleep=lambda _: None)
    yield one
    one.stop()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    one = Publisher(settings.REDIS_URL, CHANNEL)
    yield one
    one.stop()


def test_a_new_subscription_is_worth_a_look(subscriber: Subscriber) -> None:
    before = subscriber.connected
    assert subscriber.wait(60)
    assert (before, subscriber.connected) == (False, True)
    assert not subscriber.wait(0.01)


def test_hints_that_are_there_together_are_one(
    subscriber: Subscriber, publisher: Publisher
) -> None:
    subscriber.wait(60)
    for number in range(10):
        assert publisher.publish(str(number))
    assert subscriber.wait(60)
    # Redis sends them in order, so the last may come a moment after the first.
    wait_until(lambda: not subscriber.wait(0.05), timeout_s=60, what="nothing more comes")
    assert publisher.publish("11")
    assert subscriber.wait(60)


def cut(connection: redis.Redis) -> None:
    connection.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


@pytest.mark.parametrize("break_it", [cut, lambda connection: connection.flushall()])
def test_after_whatever_happened_the_next_hint_arrives(
    break_it: Callable[[redis.Redis], object], subscriber: Subscriber, publisher: Publisher
) -> None:
    subscriber.wait(60)
    with redis.Redis.from_url(settings.REDIS_URL) as connection:
        break_it(connection)
    subscriber.wait(0.05)
    wait_until(lambda: subscriber.connected or subscriber.wait(0.05), timeout_s=60, what="back")
    assert publisher.publish("1")
    assert subscriber.wait(60)


def test_a_subscription_that_was_lost_says_look_when_it_is_new(subscriber: Subscriber) -> None:
    subscriber.wait(60)
    with redis.Redis.from_url(settings.REDIS_URL) as connection:
        cut(connection)
    assert not subscriber.wait(60)
    assert not subscriber.connected
    assert subscriber.wait(60)


def test_without_redis_the_subscriber_sleeps_as_long_as_it_was_asked_to_wait() -> None:
    slept: list[float] = []
    subscriber = Subscriber(NOWHERE, CHANNEL, sleep=slept.append)
    assert not subscriber.wait(0.7)
    assert not subscriber.connected
    assert slept == [0.7]
    subscriber.stop()


def test_without_redis_the_publisher_tries_once_and_then_pauses(monkeypatch) -> None:
    now = 100.0
    tries: list[int] = []
    publisher = Publisher(NOWHERE, CHANNEL, clock=lambda: now)
    real = publisher._pool.make_connection

    def counted() -> object:
        tries.append(1)
        return real()

    monkeypatch.setattr(publisher._pool, "make_connection", counted)
    for now in (100.0, 100.5, 100.99, 101.01, 101.5):  # noqa: B007
        assert not publisher.publish("1")
    assert len(tries) == 2
    publisher.stop()


def test_a_hint_after_the_connection_was_cut_arrives(
    subscriber: Subscriber, publisher: Publisher
) -> None:
    subscriber.wait(60)
    assert publisher.publish("1")
    assert subscriber.wait(60)
    kept = publisher._connection
    assert kept is not None
    kept.send_command("CLIENT", "ID")
    with redis.Redis.from_url(settings.REDIS_URL) as connection:
        connection.client_kill_filter(_id=str(kept.read_response()))
    assert publisher.publish("2")
    assert subscriber.wait(60)


def test_a_forked_process_has_a_connection_of_its_own(publisher: Publisher, monkeypatch) -> None:
    assert publisher.publish("1")
    parents = publisher._connection
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert publisher.publish("2")
    assert publisher._connection is not parents
    assert publisher._pid == -1
