"""Every write of a person's account: registering, logging in and out, what they change themselves.

Each change that another process may remember is announced when it is committed, see
`accounts.changes`. Errors are those of `accounts.errors`.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from accounts import lockout
from accounts.audit import Kind, audit_person, audit_write
from accounts.errors import (
    BadCredentialsError,
    SessionEndedError,
    UsernameTakenError,
)
from accounts.lockout import Attempt
from accounts.logins import credentials_check, credentials_used
from accounts.models import (
    DEVICE_CHARACTERS,
    Session,
    User,
    new_session_id,
)
from accounts.names import clean_nickname, clean_password, clean_username, username_key
from accounts.operators import (
    operator_ensure,
    operators_group_ensure,
    token_revoke,
    token_rotate,
)
from accounts.passwords import hash_pool, password_encode
from accounts.people import OpenedSession, Person
from accounts.pictures import picture_copy, picture_remove, picture_store
from accounts.selectors import person_of, user_by_key
from accounts.session_ends import (
    end_sessions,
    lock_users,
    session_close,
    session_end,
    sessions_close_all,
    sessions_close_others,
    sessions_revoke,
    touch_sessions,
)
from accounts.session_rows import session_insert
from accounts.sessions import process_sessions, session_check
from accounts.stages import stage
from accounts.tokens import new_token, token_hash

__all__ = [
    "account_unlock",
    "credentials_check",
    "image_copy",
    "image_remove",
    "image_upload",
    "nickname_change",
    "operator_ensure",
    "operators_group_ensure",
    "password_change",
    "session_check",
    "session_close",
    "session_end",
    "session_open",
    "session_renew",
    "sessions_close_all",
    "sessions_close_others",
    "sessions_revoke",
    "sessions_used",
    "token_revoke",
    "token_rotate",
    "user_edited",
    "user_register",
    "user_save",
    "users_delete",
]


def user_register(
    *, username: object, password: object, nickname: object = "", address: str = ""
) -> User:
    """Make an account. InvalidFieldError, UsernameTakenError, BusyError."""
    name = clean_username(username)
    secret = clean_password(password)
    shown_as = clean_nickname(nickname)
    if user_by_key(username_key(name)) is not None:
        raise UsernameTakenError
    with hash_pool().place():
        encoded = password_encode(secret)
    user = User(username=name, nickname=shown_as, password=encoded)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            audit_write(kind=Kind.REGISTER, user_id=user.pk, username=name, address=address)
    except IntegrityError:
        # Somebody was quicker while the password was hashed.
        raise UsernameTakenError from None
    return user


def session_open(
    *, username: str, password: str, device: str = "", address: str = ""
) -> OpenedSession:
    """Log in: a new session, whose token is known to nobody else from now on. `device` is what the
    client says it is. BadCredentialsError, LockedError, BusyError.
    """
    user, opened = credentials_used(
        username=username,
        password=password,
        address=address,
        use=lambda user, attempt: (user, _open(user, attempt, device, address)),
    )
    # The password was right a moment ago; a packet that says the same may be given the same token.
    process_sessions().passwords.remember(
        key=user.username_key,
        user_id=user.pk,
        encoded=user.password,
        password=password,
        token=opened.token,
    )
    return opened


def session_renew(*, username: str, password: str, address: str = "") -> None:
    """Verify a remembered password by its hash, and the session that it opened by PostgreSQL, so
    that both are known for another minute. What does not hold any more is forgotten by then.
    BadCredentialsError, LockedError, BusyError.
    """
    user = credentials_check(username=username, password=password, address=address, anew=True)
    sessions = process_sessions()
    opened = sessions.passwords.opened(key=user.username_key, password=password)
    if opened is not None:
        sessions.check_database([opened.token_hash])


def _open(user: User, attempt: Attempt, device: str, address: str) -> OpenedSession:
    token, now = new_token(), timezone.now()
    session_id = new_session_id()
    session = {
        "id": session_id,
        "token_hash": token_hash(token),
        "user_id": user.pk,
        "device": _printable(device)[:DEVICE_CHARACTERS],
        "address": address or None,
        "created_at": now,
        "last_used_at": now,
        "expires_at": now + timedelta(seconds=settings.ACCOUNT_SESSION_LONGEST_S),
    }
    with stage("token_update"):
        session_insert(session, user=user, address=address, attempt=attempt)
    return OpenedSession(token=token, person=person_of(user, session_id))


def user_save(*, user: User, new: bool, actor: str) -> None:
    """Write a user's row as `actor` has filled it in; see `user_edited` for one that is not new."""
    with transaction.atomic():
        user.save()
        if not new:
            user_edited(user_id=user.pk, sign_out=not user.is_active, actor=actor)


def users_delete(*, user_ids: Sequence[int], actor: str) -> int:
    """Delete people on behalf of `actor`: their sessions end, and their pictures go once that is
    certain. Gives how many there were.
    """
    with transaction.atomic():
        found = list(lock_users(user_ids).values_list("pk", "image"))
        for user_id, _ in found:
            sessions_close_all(user_id=user_id, actor=actor)
        deleted = [user_id for user_id, _ in found]
        theirs = Session.objects.filter(user_id__in=deleted)
        # In the order in which others lock them, see `sessions_used`.
        kept = list(theirs.order_by("pk").select_for_update().values_list("pk", flat=True))
        Session.objects.filter(pk__in=kept).update(device="", address=None)
        User.objects.filter(pk__in=deleted).delete()
    for _, image in found:
        transaction.on_commit(partial(picture_remove, name=image))
    return len(found)


def user_edited(*, user_id: int, sign_out: bool, actor: str) -> None:
    """Have it known that `actor` has changed the user's row, so that all see the new names; and
    end all sessions when that changed who may log in, or with what (`sign_out`).
    """
    with transaction.atomic():
        if sign_out:
            sessions_close_all(user_id=user_id, actor=actor)
        touch_sessions(user_id)


def sessions_used(*, session_ids: Sequence[UUID]) -> None:
    """Note that these sessions were used just now. All in one statement, rows in order of their
    keys, so that two processes that note the same ones do not stop each other.
    """
    if not session_ids:
        return
    with stage("token_update"), transaction.atomic():
        sessions = Session.objects.filter(pk__in=session_ids).order_by("pk")
        locked = list(sessions.select_for_update().values_list("pk", flat=True))
        Session.objects.filter(pk__in=locked).update(last_used_at=Now())


def nickname_change(*, person: Person, nickname: object) -> Person:
    """Show the person under another nickname. InvalidFieldError."""
    return _show_as(person, lambda user: setattr(user, "nickname", clean_nickname(nickname)))


def image_upload(*, person: Person, data: bytes) -> Person:
    """Show the person with the picture in these bytes. InvalidImageError, PictureStoreError."""
    return _show_with(person, picture_store(data=data))


def image_copy(*, person: Person, url: str) -> Person:
    """Show the person with a picture that was uploaded here before, by its address.
    InvalidImageError when it is none, PictureStoreError.
    """
    return _show_with(person, picture_copy(url=url))


def image_remove(*, person: Person) -> Person:
    """Show the person without a picture."""
    return _show_with(person, "")


def password_change(*, person: Person, old: str, new: object, address: str = "") -> None:
    """Change the password, and end all other sessions. InvalidFieldError, BadCredentialsError for a
    wrong old password, LockedError, BusyError: guesses count as failed logins.
    """
    secret = clean_password(new, field="new")
    try:
        user = credentials_check(username=person.username, password=old, address=address)
    except BadCredentialsError:
        raise BadCredentialsError("old: is wrong") from None
    with hash_pool().place():
        encoded = password_encode(secret)
    with transaction.atomic():
        # Only over the password that was verified: of two changes at once, one fails.
        same = User.objects.filter(pk=user.pk, password=user.password)
        if user.pk != person.user_id or not same.update(password=encoded):
            raise BadCredentialsError("old: is wrong")
        others = Session.objects.filter(user_id=user.pk).exclude(pk=person.session_id)
        end_sessions(others, user.pk)
        audit_person(Kind.PASSWORD, person, address)


def account_unlock(*, kind: str, subject: str, actor: str) -> bool:
    """Let an account or address (as `Lockout.kind` and `Lockout.subject` say) try again from the
    start; False when there was nothing to unlock.
    """
    with transaction.atomic():
        unlocked = lockout.unlock(kind=kind, subject=subject)
        if unlocked:
            name, address = (subject, "") if kind == lockout.ACCOUNT else ("", subject)
            user = user_by_key(subject) if name else None
            audit_write(
                kind=Kind.UNLOCK,
                user_id=user.pk if user else None,
                username=name,
                address=address,
                detail=f"by {actor}",
            )
    return unlocked


def _show_as(person: Person, change: Callable[[User], None]) -> Person:
    with transaction.atomic():
        user = lock_users([person.user_id]).first()
        if user is None:
            raise SessionEndedError
        change(user)
        User.objects.filter(pk=user.pk).update(nickname=user.nickname, image=user.image)
        touch_sessions(user.pk)
    return person_of(user, person.session_id)


def _show_with(person: Person, picture: str) -> Person:
    """With the stored picture of that name; the one before it is removed, or the new one if it is
    certain that the change failed.
    """
    before = []

    def change(user: User) -> None:
        before.append(user.image)
        user.image = picture

    try:
        changed = _show_as(person, change)
    except (OperationalError, InterfaceError):
        # PostgreSQL went away, perhaps after it had committed. If it had not, `sweep_pictures`
        # finds a picture that is nobody's.
        raise
    except BaseException:
        picture_remove(name=picture)
        raise
    transaction.on_commit(lambda: picture_remove(name=before[0]))
    return changed


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
