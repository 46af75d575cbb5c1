"""Failed logins, counted before the password is looked at. Written to PostgreSQL, nowhere else.

A try first reserves its place among the failures that are allowed, in one statement that locks the
row; success gives it back. So however many tries come at once, on however many workers, no more
passwords are looked at than the limit allows.
"""

from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from accounts.errors import LockedError
from accounts.models import Lockout
from runtime.addresses import limited_as

ACCOUNT, ADDRESS = Lockout.Kind.ACCOUNT.value, Lockout.Kind.ADDRESS.value

# `l` is the row as it is once nobody else holds it.
_RESERVE = """
INSERT INTO accounts_lockout AS l (kind, subject, failures, last_failure_at, locked_until)
VALUES (%(kind)s, %(subject)s, 1, clock_timestamp(),
        CASE WHEN 1 >= %(most)s THEN clock_timestamp() + %(first)s * interval '1 second' END)
ON CONFLICT (kind, subject) DO UPDATE SET
    failures = CASE WHEN l.last_failure_at < clock_timestamp() - %(forget)s * interval '1 second'
                    THEN 1 ELSE l.failures + 1 END,
    last_failure_at = clock_timestamp(),
    locked_until = CASE
        WHEN l.last_failure_at < clock_timestamp() - %(forget)s * interval '1 second' THEN NULL
        WHEN l.failures + 1 >= %(most)s THEN clock_timestamp() + interval '1 second'
             * least(%(first)s * power(2.0, least(l.failures + 1 - %(most)s, 40)), %(longest)s)
        END
WHERE l.locked_until IS NULL OR l.locked_until <= clock_timestamp()
RETURNING locked_until
"""
_GIVE_BACK = """
UPDATE accounts_lockout SET
    failures = greatest(failures - 1, 0),
    locked_until = CASE WHEN failures - 1 < %(most)s THEN NULL ELSE locked_until END
WHERE kind = %(kind)s AND subject = %(subject)s
"""
_WAIT = """
SELECT extract(epoch FROM locked_until - clock_timestamp()) FROM accounts_lockout
WHERE kind = %s AND subject = %s AND locked_until > clock_timestamp()
"""


class Attempt(NamedTuple):
    """A reserved try. `locks` are the subjects (kind, name) that are locked if it fails, and until
    when; empty values stand for no account that could exist, and for no known address.
    """

    account: str
    address: str
    locks: tuple[tuple[str, str, datetime], ...]


def attempt_reserve(*, account: str, address: str) -> Attempt:
    """Count a try for the account's key and the address. LockedError when either has none left;
    nothing is counted then.
    """
    locks = []
    subjects = _subjects(account, address)
    with transaction.atomic():
        # Always in this order, so that two tries never wait for each other.
        for kind, subject in subjects:
            until = _reserve(kind, subject)
            if until is not None:
                locks.append((kind, subject, until))
    return Attempt(account, address, tuple(locks))


def attempt_succeeded(attempt: Attempt) -> None:
    """The password was right: the account's failures are forgotten, the address gets its try back,
    and no more: else whoever has one account could try on without end.
    """
    Lockout.objects.filter(kind=ACCOUNT, subject=attempt.account).delete()
    if attempt.address:
        _give_back(ADDRESS, limited_as(attempt.address))


def attempt_dropped(attempt: Attempt) -> None:
    """No password was looked at after all."""
    for kind, subject in _subjects(attempt.account, attempt.address):
        _give_back(kind, subject)


def known_password_used(*, account: str, address: str) -> None:
    """The password needs no try: it is known to be right. LockedError when the account or the
    address is locked all the same; else the account's failures are forgotten.
    """
    for kind, subject in _subjects(account, address):
        wait_s = _wait_s(kind, subject)
        if wait_s:
            raise LockedError(wait_s)
    Lockout.objects.filter(kind=ACCOUNT, subject=account).exclude(locked_until__gt=Now()).delete()


def _subjects(account: str, address: str) -> list[tuple[str, str]]:
    named = [(ACCOUNT, account), (ADDRESS, limited_as(address) if address else "")]
    return [(kind, subject) for kind, subject in named if subject]


def _reserve(kind: str, subject: str) -> datetime | None:
    """Until when the subject is locked from now on, if it is. LockedError if it was already."""
    parameters = {
        "kind": kind,
        "subject": subject,
        "most": _most(kind),
        "first": settings.ACCOUNT_LOCKOUT_FIRST_S,
        "longest": settings.ACCOUNT_LOCKOUT_LONGEST_S,
        "forget": settings.ACCOUNT_LOCKOUT_FORGET_S,
    }
    with connection.cursor() as cursor:
        cursor.execute(_RESERVE, parameters)
        row = cursor.fetchone()
    if row is None:
        # It may have been unlocked in between: the client then waits a second for nothing.
        raise LockedError(_wait_s(kind, subject))
    until: datetime | None = row[0]
    return until


def _give_back(kind: str, subject: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_GIVE_BACK, {"kind": kind, "subject": subject, "most": _most(kind)})


def _wait_s(kind: str, subject: str) -> float:
    with connection.cursor() as cursor:
        cursor.execute(_WAIT, [kind, subject])
        row = cursor.fetchone()
    return float(row[0]) if row else 0.0


def _most(kind: str) -> int:
    most: int = (
        settings.ACCOUNT_LOCKOUT_FAILURES
        if kind == ACCOUNT
        else settings.ACCOUNT_LOCKOUT_ADDRESS_FAILURES
    )
    return most


def unlock(*, kind: str, subject: str) -> bool:
    """Forget the failures; False when there were none."""
    deleted, _ = Lockout.objects.filter(kind=kind, subject=subject).delete()
    return deleted > 0
