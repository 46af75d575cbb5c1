"""Failed logins, counted before the password is looked at. Written to PostgreSQL, nowhere else.

A try first reserves its place among the failures that are allowed, in one statement that locks the
row; success gives it back. So however many tries come at once, on however many workers, no more
passwords are looked at than the limit allows.
"""

from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from accounts.errors import LockedError
from accounts.models import Lockout, User
from commons.prepared import Named, fetch
from commons.rows import columns_of, row_of
from runtime.addresses import limited_as

ACCOUNT, ADDRESS = Lockout.Kind.ACCOUNT.value, Lockout.Kind.ADDRESS.value

# `l` is the row as it is once nobody else holds it, `most` how many failures its kind may have.
_FORGOTTEN = "l.last_failure_at < clock_timestamp() - %(forget)s::float8 * interval '1 second'"
_MOST = "CASE l.kind WHEN 'account' THEN %(account_most)s::int ELSE %(address_most)s::int END"
# The rows in this order for everybody, so that two tries never wait for each other; nothing is
# written about either when one of them is locked. Whose account it is comes along: one round trip.
_RESERVE = Named.of(
    "accounts_reserve",
    f"""
WITH reserved AS (
    INSERT INTO accounts_lockout AS l (kind, subject, failures, last_failure_at, locked_until)
    SELECT kind, subject, 1, clock_timestamp(),
           CASE WHEN 1 >= most THEN clock_timestamp() + %(first)s::float8 * interval '1 second' END
      FROM (VALUES (1, 'account', %(account)s::text, %(account_most)s::int),
                   (2, 'address', %(address)s::text, %(address_most)s::int)
           ) AS new (number, kind, subject, most)
     WHERE subject <> '' AND NOT EXISTS (
        SELECT FROM accounts_lockout AS locked
         WHERE ((locked.kind = 'account' AND locked.subject = %(account)s::text)
                OR (locked.kind = 'address' AND locked.subject = %(address)s::text))
           AND locked.locked_until > clock_timestamp()
     ) ORDER BY number
    ON CONFLICT (kind, subject) DO UPDATE SET
        failures = CASE WHEN {_FORGOTTEN} THEN 1 ELSE l.failures + 1 END,
        last_failure_at = clock_timestamp(),
        locked_until = CASE
            WHEN {_FORGOTTEN} THEN NULL
            WHEN l.failures + 1 >= {_MOST} THEN clock_timestamp() + interval '1 second'
                 * least(%(first)s::float8 * power(2.0, least(l.failures + 1 - {_MOST}, 40)),
                         %(longest)s::float8)
            END
    WHERE l.locked_until IS NULL OR l.locked_until <= clock_timestamp()
    RETURNING kind, locked_until
)
SELECT account.kind, account.locked_until, address.kind, address.locked_until,
       {columns_of(User)}
  FROM (VALUES (1)) AS once
  LEFT JOIN reserved AS account ON account.kind = 'account'
  LEFT JOIN reserved AS address ON address.kind = 'address'
  LEFT JOIN accounts_user ON accounts_user.username_key = %(account)s::text
""",  # noqa: S608
)


def forgiving_if(condition: str) -> str:
    """Two steps of a statement: the account's failures are forgotten, the address gets its try
    back. In the order in which tries are reserved, which `FROM forgotten` sees to.
    """
    return f"""
forgotten AS (
    DELETE FROM accounts_lockout
    WHERE kind = 'account' AND subject = %(forgiven_account)s AND {condition} RETURNING 1
), given_back AS (
    UPDATE accounts_lockout SET
        failures = greatest(failures - 1, 0),
        locked_until = CASE WHEN failures - 1 < %(forgiven_most)s::int THEN NULL
                            ELSE locked_until END
    FROM (SELECT count(*) FROM forgotten) AS first
    WHERE kind = 'address' AND subject = %(forgiven_address)s AND {condition}
)
"""  # noqa: S608


_FORGIVE = Named.of("accounts_forgive", f"WITH {forgiving_if('true')} SELECT 1")
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


# Of somebody whose password needed none.
NO_ATTEMPT = Attempt("", "", ())


def attempt_reserve(*, account: str, address: str) -> tuple[Attempt, User | None]:
    """Count a try for the account's key and the address; gives it, and whose account that is.
    LockedError when either has none left; nothing is counted then.
    """
    subjects = _subjects(account, address)
    reserved, user = _reserve(dict(subjects))
    missing = [each for each in subjects if each[0] not in reserved]
    if missing:
        # Only when it was locked by another try while this one waited for it.
        for kind, subject in subjects:
            if kind in reserved:
                _give_back(kind, subject)
        # It may have been unlocked in between: the client then waits a second for nothing.
        raise LockedError(next(filter(None, (_wait_s(*each) for each in missing)), 0.0))
    locks = [(*each, until) for each in subjects if (until := reserved[each[0]]) is not None]
    return Attempt(account, address, tuple(locks)), user


def attempt_succeeded(attempt: Attempt) -> None:
    """The password was right: the account's failures are forgotten, the address gets its try back,
    and no more: else whoever has one account could try on without end.
    """
    if attempt is not NO_ATTEMPT:
        fetch(_FORGIVE, forgiving(attempt))


def forgiving(attempt: Attempt) -> dict[str, Any]:
    """The parameters of `forgiving_if`."""
    return {
        "forgiven_account": attempt.account,
        "forgiven_address": limited_as(attempt.address) if attempt.address else "",
        "forgiven_most": _most(ADDRESS),
    }


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


def _reserve(
    subjects: dict[str, str],
) -> tuple[dict[str, datetime | None], User | None]:
    """By kind, until when the subject is locked from now on, if it is; without those that were
    locked already. And the user of the account.
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
    account, account_until, address, address_until, *user = fetch(_RESERVE, parameters)
    reserved = {account: account_until, address: address_until}
    reserved.pop(None, None)
    exists = ACCOUNT in subjects and user[0] is not None
    return reserved, row_of(User, user) if exists else None


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
