"""A process hears of changes, finds those it did not hear of, and trusts its caches only then."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import redis
import time_machine
from django.conf import settings
from django.db import OperationalError
from django.utils import timezone

from accounts import selectors, services
from accounts.changes import CHANNEL
from accounts.keeper import Keeper
from accounts.memory import RENEWED_BEFORE_S
from accounts.models import Session, User
from accounts.people import CheckedSession, Person
from accounts.redis_sessions import BELIEVED_S, RedisSessions
from accounts.sessions import Sessions
from accounts.tokens import token_hash
from runtime.listening import Listener
from tests.accounts.conftest import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)


def new_process(url: str = "") -> Sessions:
    """What another process would know: nothing yet."""
    caches = RedisSessions(url or settings.CACHE_REDIS_URL, secret=settings.SECRET_KEY.encode())
    return Sessions(redis=caches, password_memory_s=60)


@pytest.fixture
def server() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.CACHE_REDIS_URL) as client:
        client.flushdb()
        yield client


@pytest.fixture
def other(server: redis.Redis) -> Sessions:
    return new_process()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener(settings.CACHE_REDIS_URL, CHANNEL)
    yield listener
    listener.stop()


@pytest.fixture
def keeper(other: Sessions, listener: Listener) -> Keeper:
    """Of the other process, which hears everything."""
    keeper = Keeper(other, listener)
    keeper.listen_once(0)
    keeper.reconcile()
    assert other.memory.trusted
    return keeper


@pytest.fixture
def token(ann: object) -> str:
    return services.session_open(username="ann", password=PASSWORD).token


def hear(keeper: Keeper, sessions: Sessions, token: str) -> None:
    give_up_s = time.monotonic() + 5
    while sessions.memory.find(token_hash(token)) is not None:
        assert time.monotonic() < give_up_s, "nothing was heard"
        keeper.listen_once(0.1)


def test_nothing_is_trusted_before_it_is_heard_and_compared(other, listener, token):
    keeper = Keeper(other, listener)
    keeper.reconcile()
    assert not other.memory.trusted
    keeper.listen_once(0)
    assert not other.memory.trusted
    assert other.check(token)
    assert len(other.memory) == 0
    keeper.reconcile()
    assert other.memory.trusted
    assert other.check(token)
    assert len(other.memory) == 1


def test_memory_answers_without_a_store(other, keeper, token, server, django_assert_num_queries):
    person = other.check(token)
    server.flushdb()
    with django_assert_num_queries(0):
        assert other.check(token) == person


def test_redis_answers_a_second_process(other, keeper, token, server, django_assert_num_queries):
    person = other.check(token)
    [key] = server.keys("accounts:session:*")
    assert 0 < server.ttl(key) <= 60
    assert token not in repr(server.get(key)) + repr(key)
    third = new_process()
    third.memory.trust()
    with django_assert_num_queries(0):
        assert third.check(token) == person


def test_a_change_is_heard(other, keeper, token):
    person = other.check(token)
    changed = services.nickname_change(person=person, nickname="Anna")
    hear(keeper, other, token)
    assert other.check(token) == changed
    services.session_close(person=person)
    hear(keeper, other, token)
    assert other.check(token) is None


def test_what_was_not_heard_is_found_in_postgresql(other, keeper, token):
    person = other.check(token)
    Session.objects.update(ended_at=timezone.now(), changed_at=timezone.now())
    assert other.check(token) == person
    keeper.reconcile()
    assert other.check(token) is None


def test_after_deafness_nothing_old_is_believed(other, keeper, token, server):
    assert other.check(token)
    server.client_kill_filter(_type="pubsub")
    give_up_s = time.monotonic() + 5
    while other.memory.trusted:
        assert time.monotonic() < give_up_s
        keeper.listen_once(0.05)
    assert len(other.memory) == 0
    # Ended while nobody heard; Redis still holds the session.
    Session.objects.update(
        ended_at=timezone.now(), changed_at=timezone.now() - timedelta(seconds=50)
    )
    while not other.memory.trusted:
        assert time.monotonic() < give_up_s
        keeper.listen_once(0.05)
        keeper.reconcile()
    assert other.check(token) is None


def test_a_person_who_was_deleted_is_not_believed_again(other, keeper, token, server, ann):
    """The word of it was lost, and Redis has again what it had before, as after its return."""
    person = other.check(token)
    [key] = server.keys("accounts:session:*")
    before, left_ms = server.get(key), server.pttl(key)
    services.users_delete(user_ids=[ann.pk], actor="olga")
    server.set(key, before, px=left_ms)
    assert other.check(token) == person
    keeper.reconcile()
    assert other.check(token) is None
    assert server.get(key) == b"-"
    assert Session.objects.get().address is None


def test_a_slow_reader_does_not_put_the_old_word_back(other, keeper, token, server):
    """Whoever read PostgreSQL before the end of a session writes to Redis after it: in vain."""
    person = other.check(token)
    entry = other.memory.find(token_hash(token))
    services.session_close(person=person)
    late = CheckedSession(person=person, until_s=entry.until_s)
    other.redis.put({token_hash(token): late})
    assert new_process().redis.get([token_hash(token)]) == {}


def test_a_value_that_somebody_wrote_into_redis_is_not_believed(other, keeper, token, server):
    other.check(token)
    [key] = server.keys("accounts:session:*")
    value = server.get(key)
    bob = services.user_register(username="bob", password=PASSWORD)
    stolen = services.session_open(username="bob", password=PASSWORD).token
    forged_key = b"accounts:session:" + token_hash(stolen).hex().encode()
    for forged in (value, value[:-1] + b"x", b"", b"x" * 16, b"\x00" * 100):
        server.set(forged_key, forged)
        assert other.check(stolen).user_id == bob.pk
        other.memory.forget_user(bob.pk)


@pytest.mark.parametrize(
    "change",
    [
        {"expires_at": timezone.now() - timedelta(seconds=1)},
        {"last_used_at": timezone.now() - timedelta(days=31)},
        {"ended_at": timezone.now()},
    ],
)
def test_sessions_that_are_over(other, token, change):
    assert other.check(token)
    Session.objects.update(**change)
    assert other.check(token) is None


def test_a_session_is_believed_no_longer_than_it_lasts(other, keeper, token):
    Session.objects.update(expires_at=timezone.now() + timedelta(seconds=5))
    assert other.check(token)
    entry = other.memory.find(token_hash(token))
    assert entry.until_s <= time.time() + 5


@contextmanager
def later(by_s: float) -> Iterator[None]:
    with time_machine.travel(time.time() + by_s):
        yield


# When what is checked now is asked for again.
SOON_S = BELIEVED_S - RENEWED_BEFORE_S + 2


def test_sessions_in_use_are_asked_for_before_they_end(
    other, keeper, token, server, django_assert_num_queries
):
    unused = services.session_open(username="ann", password=PASSWORD).token
    for each in (token, token, unused):
        other.check(each)
    entry = other.memory.find(token_hash(token))
    until_s = entry.until_s
    Session.objects.update(last_used_at=(used := timezone.now() - timedelta(days=1)))
    keeper.write_uses()
    assert Session.objects.get(token_hash=token_hash(unused)).last_used_at > used
    Session.objects.update(last_used_at=used)
    other.memory.find(token_hash(token))
    server.flushdb()
    with later(SOON_S), django_assert_num_queries(1):
        keeper.renew()
        keeper.renew()
        # Nor do the others have to ask.
        assert list(new_process().redis.get([token_hash(token)])) == [token_hash(token)]
    assert entry.until_s > until_s + 30
    with later(BELIEVED_S + 1), django_assert_num_queries(0):
        assert other.memory.find(token_hash(unused)) is None
        # Not used since.
        keeper.renew()
        assert other.check(token) == entry.person
    with later(2 * SOON_S), django_assert_num_queries(1):
        keeper.renew()
    assert Session.objects.get(token_hash=token_hash(token)).last_used_at == used


@pytest.mark.parametrize(
    "change",
    [
        {"expires_at": timezone.now() - timedelta(seconds=1)},
        {"last_used_at": timezone.now() - timedelta(days=31)},
        {"ended_at": timezone.now()},
    ],
)
def test_a_session_that_is_over_is_not_renewed(other, keeper, token, change):
    other.check(token)
    assert other.check(token)
    Session.objects.update(**change)
    with later(SOON_S):
        keeper.renew()
    assert other.memory.find(token_hash(token)) is None


def test_what_is_renewed_is_what_postgresql_says(other, keeper, token):
    other.check(token)
    assert other.check(token).nickname == "Annie"
    User.objects.update(nickname="Anna")
    with later(SOON_S):
        keeper.renew()
    assert other.memory.find(token_hash(token)).person.nickname == "Anna"


def test_a_renewal_is_tried_again_when_postgresql_is_back(other, keeper, token, monkeypatch):
    other.check(token)
    other.check(token)
    entry = other.memory.find(token_hash(token))
    until_s = entry.until_s

    def away(*_: object) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as patch, later(SOON_S):
        patch.setattr("accounts.selectors.people_by_token_hash", away)
        keeper.renew()
    assert entry.until_s == until_s
    with later(SOON_S + 1):
        keeper.renew()
    assert entry.until_s > until_s


def test_the_steward_renews(other, listener, monkeypatch):
    renewed = threading.Event()
    monkeypatch.setattr(Keeper, "renew", lambda self: renewed.set())
    keeper = Keeper(other, listener)
    keeper.start()
    try:
        assert renewed.wait(10)
    finally:
        keeper.stop()


def test_a_change_while_a_session_is_renewed_is_not_lost(other, keeper, token, monkeypatch):
    person = other.check(token)
    other.check(token)
    ask = selectors.people_by_token_hash

    def ask_then_change(digests: list[bytes]) -> object:
        people = ask(digests)
        services.session_close(person=person)
        other.heard(f"user {person.user_id}")
        return people

    with monkeypatch.context() as patch, later(SOON_S):
        patch.setattr("accounts.selectors.people_by_token_hash", ask_then_change)
        keeper.renew()
    assert other.memory.find(token_hash(token)) is None
    assert other.check(token) is None


def test_uses_are_written_in_batches(other, keeper, token, django_assert_num_queries):
    before = timezone.now() - timedelta(days=1)
    Session.objects.update(last_used_at=before)
    for _ in range(3):
        other.check(token)
    assert Session.objects.get().last_used_at == before
    keeper.write_uses()
    assert Session.objects.get().last_used_at > timezone.now() - timedelta(minutes=1)
    with django_assert_num_queries(0):
        keeper.write_uses()


def test_without_redis_postgresql_answers(token):
    lonely = new_process("redis://127.0.0.1:1/0")
    listener = Listener("redis://127.0.0.1:1/0", CHANNEL)
    keeper = Keeper(lonely, listener)
    keeper.listen_once(0)
    keeper.reconcile()
    assert not lonely.memory.trusted
    assert isinstance(lonely.check(token), Person)
    Session.objects.update(ended_at=timezone.now())
    assert lonely.check(token) is None


def test_a_lock_is_heard_by_those_who_would_not_ask(other, keeper, ann):
    opened = services.session_open(username="ann", password=PASSWORD)
    other.passwords.remember(
        key="ann", user_id=ann.pk, encoded="e", password=PASSWORD, token=opened.token
    )
    other.check(opened.token)

    def token(address):
        found = other.login_from_memory(key="ann", password=PASSWORD, address=address)
        return found and found[0].token

    assert token("192.0.2.1") == opened.token
    other.heard("lock address 192.0.2.1")
    assert token("192.0.2.1") is None
    assert token("192.0.2.2") == opened.token
    other.heard("lock account ann")
    assert token("192.0.2.2") is None
