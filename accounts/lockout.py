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

# `l` is the row as it is once nobody else holds it, `most` how many failures its kind may have.
_FORGOTTEN = "l.last_failure_at < clock_timestamp() - %(forget)s * interval '1 second'"
_MOST = "CASE l.kind WHEN 'account' THEN %(account_most)s ELSE %(address_most)s END"
# The rows in this order for everybody, so that two tries never wait for each other; nothing is
# written about the address of somebody who tries a locked account.
_RESERVE = f"""
INSERT INTO accounts_lockout AS l (kind, subject, failures, last_failure_at, locked_until)
SELECT kind, subject, 1, clock_timestamp(),
       CASE WHEN 1 >= most THEN clock_timestamp() + %(first)s * interval '1 second' END
  FROM (VALUES (1, 'account', %(account)s, %(account_most)s),
               (2, 'address', %(address)s, %(address_most)s)) AS new (number, kind, subject, most)
 WHERE subject <> '' AND (number = 1 OR NOT EXISTS (
    SELECT FROM accounts_lockout AS locked WHERE locked.kind = 'account'
       AND locked.subject = %(account)s AND locked.locked_until > clock_timestamp()
 )) ORDER BY number
ON CONFLICT (kind, subject) DO UPDATE SET
    failures = CASE WHEN {_FORGOTTEN} THEN 1 ELSE l.failures + 1 END,
    last_failure_at = clock_timestamp(),
    locked_until = CASE
        WHEN {_FORGOTTEN} THEN NULL
        WHEN l.failures + 1 >= {_MOST} THEN clock_timestamp() + interval '1 second'
             * least(%(first)s * power(2.0, least(l.failures + 1 - {_MOST}, 40)), %(longest)s)
        END
WHERE l.locked_until IS NULL OR l.locked_until <= clock_timestamp()
RETURNING kind, locked_until
"""  # noqa: S608
_FORGET = "DELETE FROM accounts_lockout WHERE kind = 'account' AND subject = %s"
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
    subjects = _subjects(account, address)
    with transaction.atomic():
        reserved = _reserve(dict(subjects))
        for kind, subject in subjects:
            if kind not in reserved:
                # It may have been unlocked in between: the client then waits a second for nothing.
                raise LockedError(_wait_s(kind, subject))
    locks = [(*each, until) for each in subjects if (until := reserved[each[0]]) is not None]
    return Attempt(account, address, tuple(locks))


def attempt_succeeded(attempt: Attempt) -> None:
    """The password was right: the account's failures are forgotten, the address gets its try back,
    and no more: else whoever has one account could try on without end.
    """
    with connection.cursor() as cursor:
        cursor.execute(_FORGET, [attempt.account])
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


def _reserve(subjects: dict[str, str]) -> dict[str, datetime | None]:
    """By kind, until when the subject is locked from now on, if it is. Those that were locked
    already are missing.
    """
    parameters = {
        ACCOUNT: subjects.get(ACCOUNT, ""),
        ADDRESS: subjects.get(ADDRESS, ""),
        "account_most": _most(ACCOUNT),
        "address_most": _most(ADDRESS),
        "first": settings.ACCOUNT_LOCKOUT_FIRST_S,
        "longest": settings.ACCOUNT_LOCKOUT_LONGEST_S,
        "forget": settings.ACCOUNT_LOCKOUT_FORGET_S,
    }
    with connection.cursor() as cursor:
        cursor.execute(_RESERVE, parameters)
        return dict(cursor.fetchall())


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
