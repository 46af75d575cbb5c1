"""Finding out whether a name and a password belong together, whatever comes at once.

The order matters. A place among the hashes first: what is too much is refused before it costs
anything. Then one try at a time for each account in each process, so that many right passwords at
once are hashed once, and reserve one try, not all. Then a reserved try, then the hash.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NoReturn

from django.db import transaction

from accounts import lockout
from accounts.audit import Kind, audit_write
from accounts.changes import announce_lock
from accounts.errors import BadCredentialsError, BusyError, InvalidFieldError, LockedError
from accounts.lockout import Attempt
from accounts.models import User
from accounts.names import OPERATOR_NAME_CHARACTERS_MAX, clean_username, username_key
from accounts.passwords import KeyedLocks, Verdict, hash_pool, password_verify
from accounts.selectors import user_by_key
from accounts.sessions import process_sessions
from accounts.stages import count_login

# Nobody's password is longer; hashing megabytes is not for strangers to ask for.
_PASSWORD_CHARACTERS_MAX = 4096
_at_once = KeyedLocks()


def account_key(username: str) -> str:
    """The key that failures of this name are counted under; empty for what can be no name."""
    # What a stranger sends may be megabytes long: that is not kept.
    if len(username) > OPERATOR_NAME_CHARACTERS_MAX:
        return _account_key(username)
    return _known_account_key(username)


def _account_key(username: str) -> str:
    try:
        return username_key(clean_username(username, most=OPERATOR_NAME_CHARACTERS_MAX))
    except InvalidFieldError:
        return ""


_known_account_key = lru_cache(maxsize=10_000)(_account_key)


def credentials_check(
    *,
    username: str,
    password: str,
    address: str = "",
    anew: bool = False,
    and_then: Callable[[User], object] = lambda _: None,
) -> User:
    """The user of that name and password; `anew` if a hash must say so, whatever is remembered.

    `and_then` is called with the user in the transaction that notes the success, if it needs to be
    noted. BadCredentialsError for an unknown name, a wrong password and somebody who may not log
    in; LockedError after too many failures; BusyError when too many ask at once.
    """
    key = account_key(username)
    try:
        with hash_pool().place(), _at_once.hold(key or f"address {address}"):
            user = user_by_key(key) if key else None
            if user is not None and not anew and _is_remembered(user, password):
                lockout.known_password_used(account=key, address=address)
                and_then(user)
                count_login("remembered")
                return user
            attempt = lockout.attempt_reserve(account=key, address=address)
            verdict = _verify(attempt, user, password)
            if user is None or not verdict.correct or not user.is_active:
                _refuse(attempt, user, username)
            _accept(attempt, user, verdict, and_then)
            process_sessions().passwords.remember(
                key=user.username_key, user_id=user.pk, encoded=user.password, password=password
            )
            count_login("verified")
            return user
    except LockedError:
        count_login("locked")
        raise
    except BusyError:
        count_login("busy")
        raise


def _is_remembered(user: User, password: str) -> bool:
    return user.is_active and process_sessions().passwords.knows(
        key=user.username_key, encoded=user.password, password=password
    )


def _verify(attempt: Attempt, user: User | None, password: str) -> Verdict:
    if len(password) > _PASSWORD_CHARACTERS_MAX:
        password = ""
    try:
        return password_verify(password, user.password if user else None)
    except BaseException:
        lockout.attempt_dropped(attempt)
        raise


def _accept(
    attempt: Attempt, user: User, verdict: Verdict, and_then: Callable[[User], object]
) -> None:
    with transaction.atomic():
        lockout.attempt_succeeded(attempt)
        if verdict.encoded_anew is not None:
            # Not over a password that was changed meanwhile.
            same = User.objects.filter(pk=user.pk, password=user.password)
            if same.update(password=verdict.encoded_anew):
                user.password = verdict.encoded_anew
        and_then(user)


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
    count_login("refused")
    raise BadCredentialsError
