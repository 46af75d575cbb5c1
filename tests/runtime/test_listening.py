"""A listener gives every message, and knows when it hears nothing."""

import os
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis

from runtime.listening import SILENCE_S, Listener


class Clock:
    """The real one, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def channel() -> str:
    return f"test:{uuid4()}"


@pytest.fixture
def server() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        yield client


@pytest.fixture
def listener(clock: Clock, channel: str) -> Iterator[Listener]:
    listener = Listener(os.environ["REDIS_URL"], channel, clock=clock)
    assert listener.hear(0) == []
    yield listener
    listener.stop()


def hear(listener: Listener, count: int) -> list[str]:
    heard: list[str] = []
    give_up_s = time.monotonic() + 10
    while len(heard) < count:
        assert time.monotonic() < give_up_s, f"heard only {heard}"
        messages = listener.hear(0.1)
        assert messages is not None
        heard += messages
    return heard


def test_every_message_is_given_once_and_in_order(listener, server, channel):
    sent = [f"user {number}" for number in range(100)]
    for message in sent:
        server.publish(channel, message)
    assert hear(listener, 100) == sent
    assert listener.hear(0) == []


def test_pings_are_answered_and_are_no_messages(listener, clock):
    for _ in range(5):
        clock.ahead_s += 0.6
        assert listener.hear(0.6) == []
    assert listener.hears


def test_a_connection_that_breaks_is_noticed_and_made_anew(listener, server, channel):
    server.client_kill_filter(_type="pubsub")
    assert listener.hear(0.1) is None
    assert not listener.hears
    # This one is lost, which the caller has been told.
    server.publish(channel, "lost")
    assert listener.hear(0) == []
    server.publish(channel, "heard")
    assert hear(listener, 1) == ["heard"]


def test_silence_is_deafness(listener, clock, monkeypatch):
    # As if Redis took everything, and said nothing.
    monkeypatch.setattr(listener._pubsub, "get_message", lambda **_: None)
    assert listener.hear(0) == []
    clock.ahead_s += SILENCE_S + 0.1
    assert listener.hear(0) is None


def test_a_thread_that_had_no_turn_finds_its_messages_waiting(listener, server, channel, clock):
    server.publish(channel, "waiting")
    clock.ahead_s += 10 * SILENCE_S
    assert hear(listener, 1) == ["waiting"]


def test_without_redis_there_is_nothing_to_hear(channel):
    listener = Listener("redis://127.0.0.1:1/0", channel)
    assert listener.hear(0) is None
    assert not listener.hears
    listener.stop()
