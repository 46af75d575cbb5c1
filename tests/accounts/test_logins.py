"""Registering, logging in, failing to, and being locked out."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import partial

import pytest
from django.contrib.auth.hashers import make_password
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from accounts import logins, passwords, services, session_rows
from accounts.errors import BadCredentialsError, BusyError, LockedError, UsernameTakenError
from accounts.models import AuditEvent, Lockout, Session, User
from accounts.tokens import token_hash
from commons import connecting, prepared
from runtime.errors import DomainError
from tests.accounts.conftest import PASSWORD, reopened
from tests.support.stack import wait_until

pytestmark = pytest.mark.django_db
HERE = "192.0.2.1"
REAL_HASHERS = [
    "accounts.hashers.Argon2idHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
    "django.contrib.auth.hashers.BCryptSHA256PasswordHasher",
    "django.contrib.auth.hashers.BCryptPasswordHasher",
    "django.contrib.auth.hashers.MD5PasswordHasher",
    "accounts.hashers.UnsaltedMD5Hasher",
]


def fail(username="ann", password="wrong horse", address=""):
    with pytest.raises(BadCredentialsError) as error:
        services.session_open(username=username, password=password, address=address)
    return str(error.value)


def in_threads(count, work):
    """The results, or errors, of `work` in that many threads that begin at the same moment."""
    barrier = threading.Barrier(count)

    def one(number):
        barrier.wait()
        try:
            return work(number)
        except (DomainError, OperationalError) as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_a_right_password_whose_session_cannot_be_written_is_no_failure(ann, monkeypatch):
    def fails(*_: object, **__: object) -> None:
        raise OperationalError("the disk is full")

    monkeypatch.setattr(services, "session_insert", fails)
    for _ in range(2):
        with pytest.raises(OperationalError, match="full"):
            services.session_open(username="ann", password=PASSWORD, address="192.0.2.7")
    assert sum(Lockout.objects.values_list("failures", flat=True)) == 0


@contextmanager
def login_that_waits():
    """A transaction of another connection, for the block to change Ann's row in; a login of hers
    waits for it. What became of the login is behind it.
    """
    outcome: list[object] = []
    with connecting.connect() as other, ThreadPoolExecutor(1) as thread:
        with other.transaction():
            yield other, outcome
            ask = partial(services.session_open, username="ann", password=PASSWORD, address=HERE)
            trying = thread.submit(in_threads, 1, lambda _: ask())
            with connecting.connect() as third:
                wait_until(
                    lambda: third.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone(),
                    timeout_s=30,
                    what="the login waits",
                )
        outcome += trying.result(30)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE accounts_user SET password = 'another'",
        "UPDATE accounts_user SET is_active = false",
        "DELETE FROM accounts_user",
    ],
)
def test_a_login_whose_person_changes_meanwhile_opens_nothing(ann, change):
    AuditEvent.objects.all().delete()
    with login_that_waits() as (other, outcome):
        other.execute(change)
    assert isinstance(outcome[0], BadCredentialsError)
    assert not Session.objects.exists()
    assert not AuditEvent.objects.exists()
    # It was no wrong password.
    assert {each.failures for each in Lockout.objects.all()} == {0}


@pytest.mark.django_db(transaction=True)
def test_a_login_does_not_wait_for_what_does_not_concern_it(ann):
    with connecting.connect() as other, other.transaction():
        other.execute("SELECT FROM accounts_user FOR KEY SHARE")
        assert services.session_open(username="ann", password=PASSWORD).token


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "end",
    [
        lambda person: services.password_change(person=person, old=PASSWORD, new="another secret"),
        lambda person: services.sessions_close_all(user_id=person.user_id, actor="olga"),
        lambda person: services.users_delete(user_ids=[person.user_id], actor="olga"),
    ],
)
def test_a_session_that_is_opened_meanwhile_is_ended_too(person, monkeypatch, end):
    """The login has the person's row; who ends all sessions comes behind it and finds it."""
    fetched, may_end = threading.Event(), threading.Event()
    fetch = prepared.fetch

    def slowly(named, parameters):
        with transaction.atomic():
            row = fetch(named, parameters)
            fetched.set()
            assert may_end.wait(30)
        return row

    monkeypatch.setattr(session_rows, "fetch", slowly)
    with ThreadPoolExecutor(2) as threads:
        opening = threads.submit(
            in_threads, 1, lambda _: services.session_open(username="ann", password=PASSWORD)
        )
        assert fetched.wait(30)
        ending = threads.submit(in_threads, 1, lambda _: end(person))
        with connecting.connect() as third:
            wait_until(
                lambda: third.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone(),
                timeout_s=30,
                what="the end waits",
            )
        may_end.set()
        [opened] = opening.result(30)
        [ended] = ending.result(30)
    assert not isinstance(ended, Exception)
    session = Session.objects.get(token_hash=token_hash(opened.token))
    assert session.ended_at is not None


def test_a_locked_account_says_nothing_of_the_address(ann, settings):
    settings.ACCOUNT_LOCKOUT_FAILURES = 2
    for _ in range(2):
        fail(address="192.0.2.7")
    before = list(Lockout.objects.order_by("kind").values())
    for _ in range(3):
        with pytest.raises(LockedError):
            services.session_open(username="ann", password=PASSWORD, address="192.0.2.7")
    assert list(Lockout.objects.order_by("kind").values()) == before


def test_a_login_is_a_session_of_its_own_kept_by_digest(ann):
    one = services.session_open(username="ANN", password=PASSWORD, device="one\n", address="::1")
    two = services.session_open(username="ann", password=PASSWORD)
    assert one.token != two.token
    assert services.session_check(token=one.token) == one.person
    session = Session.objects.get(pk=one.person.session_id)
    assert bytes(session.token_hash) == token_hash(one.token)
    assert session.device == "one "
    assert one.person.shown() == {"username": "Ann", "nickname": "Annie", "image": ""}


def test_an_unknown_user_and_a_wrong_password_are_told_the_same(ann):
    assert fail() == fail("nobody") == fail("no\x00body") == fail("\ud800") == fail("x" * 5000)
    ann.is_active = False
    ann.save()
    assert fail(password=PASSWORD) == fail("nobody")


def test_a_taken_name_is_taken_in_every_case(ann):
    for name in ("Ann", "ANN", "ａｎｎ"):
        with pytest.raises(UsernameTakenError):
            services.user_register(username=name, password=PASSWORD)


@pytest.mark.django_db(transaction=True)
def test_of_fifty_registrations_of_one_name_one_succeeds():
    results = in_threads(
        50, lambda n: services.user_register(username="aNn" if n % 2 else "Ann", password=PASSWORD)
    )
    assert sum(isinstance(each, User) for each in results) == 1
    assert sum(isinstance(each, UsernameTakenError) for each in results) == 49


def test_after_ten_failures_the_right_password_is_refused_too(ann, settings):
    for _ in range(10):
        fail()
    with pytest.raises(LockedError) as error:
        services.session_open(username="ann", password=PASSWORD)
    assert 55 <= error.value.retry_after_s <= 60
    assert AuditEvent.objects.filter(kind="lockout", user=ann).count() == 1
    assert AuditEvent.objects.filter(kind="failure", user=ann).count() == 10


def test_an_unknown_name_is_locked_like_a_known_one():
    for _ in range(10):
        fail("nobody")
    with pytest.raises(LockedError):
        services.session_open(username="Nobody", password=PASSWORD)


def test_a_remembered_password_does_not_pass_a_lock(ann):
    services.session_open(username="ann", password=PASSWORD)
    for _ in range(10):
        fail()
    with pytest.raises(LockedError):
        services.session_open(username="ann", password=PASSWORD)
    assert reopened("ann") is None


@pytest.mark.django_db(transaction=True)
def test_a_remembered_password_gives_the_tries_back(ann, sessions):
    sessions.memory.trust()

    def logged_in():
        opened = services.session_open(username="ann", password=PASSWORD)
        services.session_check(token=opened.token)
        return reopened("ann") == opened.token

    assert logged_in()
    fail("bob")
    assert reopened("ann") is not None
    for _ in range(3):
        for _ in range(9):
            fail()
        # Not from memory: PostgreSQL has to note it.
        assert reopened("ann") is None
        assert logged_in()
        assert not Lockout.objects.filter(kind="account", subject="ann").exists()


def wait_out(**change):
    """As if the lock had ended; `change` further columns."""
    Lockout.objects.update(locked_until=timezone.now() - timedelta(seconds=1), **change)


def test_each_further_failure_locks_for_twice_as_long_up_to_an_hour(ann):
    for _ in range(10):
        fail()
    seen = []
    for _ in range(7):
        wait_out()
        fail()
        with pytest.raises(LockedError) as error:
            services.session_open(username="ann", password=PASSWORD)
        seen.append(error.value.retry_after_s)
    assert seen == [120, 240, 480, 960, 1920, 3600, 3600]


def test_the_right_password_after_a_lock_starts_anew(ann):
    for _ in range(10):
        fail()
    wait_out()
    services.session_open(username="ann", password=PASSWORD)
    for _ in range(9):
        fail()
    services.session_open(username="ann", password=PASSWORD)
    assert not Lockout.objects.exists()


def test_failures_of_yesterday_are_forgotten(ann):
    for _ in range(9):
        fail()
    Lockout.objects.update(last_failure_at=timezone.now() - timedelta(days=1, seconds=1))
    fail()
    assert Lockout.objects.get().failures == 1


def test_an_address_is_locked_for_all_accounts(ann, settings):
    settings.ACCOUNT_LOCKOUT_ADDRESS_FAILURES = 5
    for number in range(5):
        fail(f"somebody {number}", address="2001:db8::1")
    with pytest.raises(LockedError):
        services.session_open(username="ann", password=PASSWORD, address="2001:db8::2")
    services.session_open(username="ann", password=PASSWORD, address="2001:db8:0:1::1")


def test_who_is_locked_by_the_address_waits_for_that_and_nothing_is_counted(ann, settings):
    settings.ACCOUNT_LOCKOUT_ADDRESS_FAILURES, settings.ACCOUNT_LOCKOUT_FIRST_S = 1, 30
    fail("nobody", address="192.0.2.1")
    with pytest.raises(LockedError) as error:
        services.session_open(username="ann", password=PASSWORD, address="192.0.2.1")
    assert 25 <= error.value.retry_after_s <= 30
    assert not Lockout.objects.filter(subject="ann").exists()


@pytest.mark.django_db(transaction=True)
def test_an_address_that_is_locked_while_a_try_waits_for_it_gives_the_account_its_try_back(ann):
    fail("ann", address="192.0.2.1")
    lock = (
        "UPDATE accounts_lockout SET locked_until = now() + interval '40 s' WHERE kind = 'address'"
    )
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with connecting.connect() as other, ThreadPoolExecutor(1) as thread:
        with other.transaction():
            other.execute(lock)
            trying = thread.submit(
                in_threads,
                1,
                lambda _: services.session_open(
                    username="ann", password=PASSWORD, address="192.0.2.1"
                ),
            )
            with connecting.connect() as third:
                wait_until(
                    lambda: third.execute(waiting).fetchone() != (0,),
                    timeout_s=30,
                    what="the try waits",
                )
        [error] = trying.result(30)
    assert isinstance(error, LockedError)
    assert 35 <= error.retry_after_s <= 40
    assert Lockout.objects.get(kind="account").failures == 1


def test_success_gives_an_address_one_try_back_not_all(ann, settings):
    settings.ACCOUNT_PASSWORD_MEMORY_S = 0
    for _ in range(3):
        fail("nobody", address="192.0.2.1")
    services.session_open(username="ann", password=PASSWORD, address="192.0.2.1")
    assert Lockout.objects.get(kind="address").failures == 3


def test_an_account_that_was_unlocked_may_log_in(ann):
    for _ in range(10):
        fail()
    assert services.account_unlock(kind="account", subject="ann", actor="olga")
    assert not services.account_unlock(kind="account", subject="ann", actor="olga")
    services.session_open(username="ann", password=PASSWORD)
    assert AuditEvent.objects.get(kind="unlock").detail == "by olga"


@pytest.mark.django_db(transaction=True)
def test_two_hundred_wrong_passwords_at_once_are_never_more_than_ten_tries(
    ann, monkeypatch, settings
):
    settings.ACCOUNT_HASHING_WAITING = 200
    tries: list[str] = []

    def counted(password: str, encoded: str | None) -> passwords.Verdict:
        tries.append(password)
        return passwords.password_verify(password, encoded)

    monkeypatch.setattr("accounts.logins.password_verify", counted)
    # As on many workers: nothing in this process keeps the tries apart.
    monkeypatch.setattr(logins._at_once, "hold", lambda key: nullcontext())
    results = in_threads(
        40, lambda n: services.session_open(username="ann", password=f"wrong horse {n}")
    )
    assert len(tries) == 10
    assert sum(isinstance(each, BadCredentialsError) for each in results) == 10
    assert sum(isinstance(each, LockedError) for each in results) == 30


@pytest.mark.django_db(transaction=True)
def test_twelve_right_passwords_at_once_all_pass(ann, settings):
    settings.ACCOUNT_HASHING_WAITING = 12
    for memory_s in (60, 0):
        settings.ACCOUNT_PASSWORD_MEMORY_S = memory_s
        results = in_threads(12, lambda n: services.session_open(username="ann", password=PASSWORD))
        assert len({opened.token for opened in results}) == 12


def test_too_many_at_once_are_refused_and_nothing_is_counted(ann, settings):
    settings.ACCOUNT_HASHING_THREADS, settings.ACCOUNT_HASHING_WAITING = 1, 0
    passwords.hash_pool.cache_clear()
    with passwords.hash_pool().place(), pytest.raises(BusyError):
        services.session_open(username="ann", password="wrong horse")
    assert not Lockout.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("now", [PASSWORD, "another horse"])
def test_a_password_that_is_encoded_anew_meanwhile(ann, settings, monkeypatch, now):
    """By another process, at a login of the same moment; or it is another one by then."""
    settings.PASSWORD_HASHERS = REAL_HASHERS
    User.objects.update(password=make_password(PASSWORD, hasher="pbkdf2_sha256"))
    verify = passwords.password_verify

    def verify_and_lose(password, encoded):
        verdict = verify(password, encoded)
        if verdict.encoded_anew:
            User.objects.update(password=make_password(now))
        return verdict

    monkeypatch.setattr(logins, "password_verify", verify_and_lose)
    if now == PASSWORD:
        assert services.session_open(username="ann", password=PASSWORD).token
        assert not Lockout.objects.exists()
    else:
        fail(password=PASSWORD)
        assert not Session.objects.exists()


@pytest.mark.parametrize("algorithm", ["md5", "raw md5", "bcrypt", "pbkdf2_sha256"])
def test_imported_passwords_are_accepted_once_and_encoded_anew(ann, settings, algorithm):
    settings.PASSWORD_HASHERS = REAL_HASHERS
    if algorithm == "raw md5":
        encoded = hashlib.md5(PASSWORD.encode()).hexdigest()
    else:
        encoded = make_password(PASSWORD, hasher=algorithm)
    User.objects.update(password=encoded)
    fail()
    services.session_open(username="ann", password=PASSWORD)
    ann.refresh_from_db()
    assert ann.password.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    assert ann.check_password(PASSWORD)
