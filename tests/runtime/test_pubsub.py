"""Hints over a real Redis: told when there are some, never in the way when there are none."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest
import redis
from django.conf import settings

from devstack.programs import ROOT
from runtime.pubsub import PacedPublisher, Publisher, Subscriber
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


class Pace:
    """A clock that stands still, and a sleep that lasts until it is told to end."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.sent: list[str] = []
        self._asleep: SimpleQueue[float] = SimpleQueue()
        self._wake = threading.Semaphore(0)

    def publisher(self) -> PacedPublisher:
        return PacedPublisher(
            self.sent.append, pace_s=0.1, clock=lambda: self.now_s, sleep=self.sleep
        )

    def sleep(self, seconds: float) -> None:
        self._asleep.put(seconds)
        assert self._wake.acquire(timeout=60)

    def sleeps_for_s(self) -> float:
        """Once it sleeps."""
        return self._asleep.get(timeout=60)

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        self._wake.release()

    def wait_ended(self) -> None:
        for thread in threading.enumerate():
            if thread.name == "hints":
                thread.join(60)


def test_hints_that_are_far_apart_are_sent_at_once() -> None:
    pace = Pace()
    publisher = pace.publisher()
    for number in range(3):
        publisher.publish(str(number))
        pace.now_s += 0.1
    assert pace.sent == ["0", "1", "2"]
    assert "hints" not in {thread.name for thread in threading.enumerate()}


def test_of_a_stream_of_hints_the_first_and_the_newest_are_sent() -> None:
    pace = Pace()
    publisher = pace.publisher()
    for number in range(5):
        publisher.publish(str(number))
    assert pace.sent == ["0"]
    assert pace.sleeps_for_s() == pytest.approx(0.1)
    pace.pass_time(0.1)
    assert pace.sleeps_for_s() == pytest.approx(0.1)
    assert pace.sent == ["0", "4"]
    publisher.publish("5")
    pace.pass_time(0.1)
    assert pace.sleeps_for_s() == pytest.approx(0.1)
    assert pace.sent == ["0", "4", "5"]
    # Nothing new: the thread ends, and the next hint is a first one again.
    pace.pass_time(0.1)
    pace.wait_ended()
    publisher.publish("6")
    assert pace.sent == ["0", "4", "5", "6"]


def test_a_forked_process_paces_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace()
    publisher = pace.publisher()
    publisher.publish("0")
    publisher.publish("1")
    monkeypatch.setattr("os.getpid", lambda: -1)
    publisher.publish("2")
    assert pace.sent == ["0", "2"]
    pace.sleeps_for_s()
    pace.pass_time(0.1)
    pace.wait_ended()


def test_when_python_ends_hints_are_sent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError

    pace = Pace()
    publisher = pace.publisher()
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    for number in range(3):
        publisher.publish(str(number))
    assert pace.sent == ["0", "1", "2"]


def test_a_process_that_ends_sends_what_is_left() -> None:
    program = "from runtime.pubsub import PacedPublisher as P; p = P(print, pace_s=0.1); " + (
        "p.publish('first'); p.publish('second'); p.publish('third')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["first", "third"]


def test_an_error_that_nobody_foresaw_loses_one_hint_only(caplog: pytest.LogCaptureFixture) -> None:
    pace = Pace()

    def publish(message: str) -> None:
        if message == "1":
            raise ValueError(message)
        pace.sent.append(message)

    publisher = PacedPublisher(publish, pace_s=0.1, clock=lambda: pace.now_s, sleep=pace.sleep)
    publisher.publish("0")
    publisher.publish("1")
    pace.sleeps_for_s()
    pace.pass_time(0.1)
    pace.sleeps_for_s()
    publisher.publish("2")
    pace.pass_time(0.1)
    pace.sleeps_for_s()
    pace.pass_time(0.1)
    pace.wait_ended()
    assert pace.sent == ["0", "2"]
    assert "could not be sent" in caplog.text
