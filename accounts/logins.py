"""Finding out whether a name and a password belong together, whatever comes at once.

The order matters. A place among the hashes first: what is too much is refused before it costs
anything. Then one try at a time for each account in each process, so that many right passwords at
once are hashed once, and reserve one try, not all. Then a reserved try, then the hash.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import NoReturn, TypeVar

from django.db import transaction

from accounts import lockout
from accounts.audit import Kind, audit_write
from accounts.changes import announce_failure, announce_lock
from accounts.errors import BadCredentialsError, BusyError, InvalidFieldError, LockedError
from accounts.lockout import Attempt
from accounts.models import User
from accounts.names import OPERATOR_NAME_CHARACTERS_MAX, known_username, username_key
from accounts.passwords import KeyedLocks, hash_pool, password_verify
from accounts.selectors import user_by_key
from accounts.sessions import process_sessions
from accounts.stages import count_login

# Nobody's password is longer; hashing megabytes is not for strangers to ask for.
_PASSWORD_CHARACTERS_MAX = 4096
_at_once = KeyedLocks()
Result = TypeVar("Result")
# Given the user and the try, which it notes to have succeeded, in a transaction with what it does.
Use = Callable[[User, Attempt], Result]


def account_key(username: str) -> str:
    """The key that failures of this name are counted under; empty for what can be no name."""
    # What a stranger sends may be megabytes long: that is not kept.
    if len(username) > OPERATOR_NAME_CHARACTERS_MAX:
        return _account_key(username)
    return _known_account_key(username)


def _account_key(username: str) -> str:
    try:
        return username_key(known_username(username, most=OPERATOR_NAME_CHARACTERS_MAX))
    except InvalidFieldError:
        return ""


_known_account_key = lru_cache(maxsize=10_000)(_account_key)


def credentials_check(
    *, username: str, password: str, address: str = "", anew: bool = False
) -> User:
    """The user of that name and password; `anew` if a hash must say so, whatever is remembered.

    BadCredentialsError for an unknown name, a wrong password and somebody who may not log in;
    LockedError after too many failures; BusyError when too many ask at once.
    """
    return credentials_used(
        username=username, password=password, address=address, anew=anew, use=_noted
    )


def _noted(user: User, attempt: Attempt) -> User:
    lockout.attempt_succeeded(attempt)
    return user


def credentials_used(
    *,
    username: str,
    password: str,
    use: Use[Result],
    address: str = "",
    anew: bool = False,
) -> Result:
    """What `use` makes of the user of that name and password. Errors as above; what `use` raises is
    no failed login.
    """
    key = account_key(username)
    try:
        with hash_pool().place(), _at_once.hold(key or f"address {address}"):
            known = None if anew else _remembered(key, password, address)
            if known is None:
                attempt, user = lockout.attempt_reserve(account=key, address=address)
                with _dropped_on_error(attempt):
                    correct = _is_correct(user, password)
                if user is None or not correct or not user.is_active:
                    _refuse(attempt, user, username)
                with _dropped_on_error(attempt):
                    result = use(user, attempt)
                process_sessions().passwords.remember(
                    key=user.username_key,
                    user_id=user.pk,
                    encoded=user.password,
                    password=password,
                )
    except LockedError:
        count_login("locked")
        raise
    except BusyError:
        count_login("busy")
        raise
    count_login("remembered" if known else "verified")
    return use(known, lockout.NO_ATTEMPT) if known else result


def _remembered(key: str, password: str, address: str) -> User | None:
    """The user, if this password needs no hash; the success is noted then."""
    passwords = process_sessions().passwords
    if not passwords.may_know(key=key, password=password):
        return None
    user = user_by_key(key)
    if user is None or not user.is_active:
        return None
    if not passwords.knows(key=key, encoded=user.password, password=password):
        return None
    lockout.known_password_used(account=key, address=address)
    return user


@contextmanager
def _dropped_on_error(attempt: Attempt) -> Iterator[None]:
    """Whatever goes wrong here says nothing of the password: the try is given back."""
    try:
        yield
    except BaseException:
        lockout.attempt_dropped(attempt)
        raise


def _is_correct(user: User | None, password: str) -> bool:
    """Whether this is the user's password, who then has its newest encoding."""
    if len(password) > _PASSWORD_CHARACTERS_MAX:
        password = ""
    verdict = password_verify(password, user.password if user else None)
    if user is None or not verdict.correct or verdict.encoded_anew is None:
        return verdict.correct
    # Not over a password that was changed meanwhile.
    same = User.objects.filter(pk=user.pk, password=user.password)
    if same.update(password=verdict.encoded_anew):
        user.password = verdict.encoded_anew
        return True
    # Changed, or encoded anew by another login of the same moment.
    now = User.objects.filter(pk=user.pk).values_list("password", flat=True).first()
    user.password = now or ""
    return password_verify(password, now).correct


def _refuse(attempt: Attempt, user: User | None, username: str) -> NoReturn:
    user_id = None if user is None else user.pk
    with transaction.atomic():
        audit_write(kind=Kind.FAILURE, user_id=user_id, username=username, address=attempt.address)
        for kind, subject, until in attempt.locks:
            audit_write(
                kind=Kind.LOCKOUT,
                user_id=user_id if kind == lockout.ACCOUNT else None,
                username=username if kind == lockout.ACCOUNT else "",
                address=attempt.address,
                detail=f"{kind}, until {until:%Y-%m-%d %H:%M:%S} UTC",
            )
            announce_lock(kind, subject)
        if user is not None:
            announce_failure(attempt.account)
    count_login("refused")
    raise BadCredentialsError
