"""Every write of a person's account: registering, logging in and out, what they change themselves.

Each change that another process may remember is announced when it is committed, see
`accounts.changes`. Errors are those of `accounts.errors`.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from accounts import lockout
from accounts.audit import Kind, audit_write
from accounts.changes import announce_user
from accounts.errors import (
    BadCredentialsError,
    SessionEndedError,
    SessionNotFoundError,
    UsernameTakenError,
)
from accounts.lockout import Attempt
from accounts.logins import credentials_check, credentials_used
from accounts.models import (
    DEVICE_CHARACTERS,
    AuditEvent,
    Lockout,
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
from accounts.selectors import live, person_of, user_by_key
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
    "records_purge",
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

PURGE_BATCH = 10_000


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


def session_close(*, person: Person, address: str = "") -> None:
    """Log out: end the session that the person is here with. Nothing happens if it has ended."""
    with transaction.atomic():
        if _end(Session.objects.filter(pk=person.session_id), person.user_id):
            _audit(Kind.LOGOUT, person, address)


def session_end(*, person: Person, session_id: UUID, address: str = "") -> None:
    """End one of the person's sessions. SessionNotFoundError when they have none of that id."""
    with transaction.atomic():
        mine = Session.objects.filter(live(), user_id=person.user_id, pk=session_id)
        found = list(mine.values_list("pk", flat=True))
        if not _end(Session.objects.filter(pk__in=found), person.user_id):
            raise SessionNotFoundError
        _audit(Kind.LOGOUT, person, address, detail=f"session {session_id}")


def sessions_close_others(*, person: Person, address: str = "") -> int:
    """End all sessions of the person but the one they are here with; gives how many."""
    with transaction.atomic():
        others = Session.objects.filter(user_id=person.user_id).exclude(pk=person.session_id)
        if ended := _end(others, person.user_id):
            _audit(Kind.LOGOUT, person, address, detail=f"{ended} other sessions")
    return ended


def sessions_close_all(*, user_id: int, actor: str) -> int:
    """End all sessions of a user, on behalf of `actor`; gives how many. Also of logins that are
    under way: with the user's row locked they are either done, or begin after this.
    """
    with transaction.atomic():
        _lock([user_id]).first()
        ended = _end(Session.objects.filter(user_id=user_id), user_id)
        if ended:
            user = User.objects.get(pk=user_id)
            audit_write(
                kind=Kind.LOGOUT,
                user_id=user_id,
                username=user.username,
                detail=f"{ended} sessions, by {actor}",
            )
    return ended


def sessions_revoke(*, session_ids: Sequence[UUID], actor: str) -> int:
    """End these sessions, whosever they are, on behalf of `actor`; gives how many had not ended."""
    ended = 0
    with transaction.atomic():
        chosen = Session.objects.filter(pk__in=session_ids, ended_at__isnull=True)
        owners = User.objects.filter(sessions__in=chosen).distinct().order_by("pk")
        for user_id, username in list(owners.values_list("pk", "username")):
            count = _end(Session.objects.filter(pk__in=session_ids, user_id=user_id), user_id)
            detail = f"{count} sessions, by {actor}"
            audit_write(kind=Kind.LOGOUT, user_id=user_id, username=username, detail=detail)
            ended += count
    return ended


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
        found = list(_lock(user_ids).values_list("pk", "image"))
        for user_id, _ in found:
            sessions_close_all(user_id=user_id, actor=actor)
        deleted = [user_id for user_id, _ in found]
        Session.objects.filter(user_id__in=deleted).update(device="", address=None)
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
        _touch(user_id)


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
        _end(others, user.pk)
        _audit(Kind.PASSWORD, person, address)


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


def records_purge() -> int:
    """Delete sessions that were over, and audit entries made, `ACCOUNT_AUDIT_DAYS` ago, and failed
    logins that no longer count; at most `PURGE_BATCH` of each. Gives how many rows in all.
    """
    now = timezone.now()
    kept_since = now - timedelta(days=settings.ACCOUNT_AUDIT_DAYS)
    counted_since = now - timedelta(seconds=settings.ACCOUNT_LOCKOUT_FORGET_S)
    idle_since = kept_since - timedelta(seconds=settings.ACCOUNT_SESSION_IDLE_S)
    over = (
        Q(ended_at__lt=kept_since) | Q(expires_at__lt=kept_since) | Q(last_used_at__lt=idle_since)
    )
    old: list[QuerySet[Any]] = [
        Session.objects.filter(over),
        AuditEvent.objects.filter(at__lt=kept_since),
        Lockout.objects.filter(last_failure_at__lt=counted_since).exclude(locked_until__gt=now),
    ]
    return sum(_purge(rows) for rows in old)


def _purge(rows: QuerySet[Any]) -> int:
    found = list(rows.order_by().values_list("pk", flat=True)[:PURGE_BATCH])
    deleted: int = rows.model._default_manager.filter(pk__in=found).delete()[0]
    return deleted


def _lock(user_ids: Sequence[int]) -> QuerySet[User]:
    """Those users, their rows locked for the transaction once they are read. Not their keys: who
    has locked a session first, and then refers to its user, must not wait for who has the user
    and wants the session.
    """
    return User.objects.filter(pk__in=user_ids).order_by("pk").select_for_update(no_key=True)


def _end(sessions: QuerySet[Session], user_id: int) -> int:
    """End those that have not, in the transaction around, and have it announced; gives how many."""
    open_ones = sessions.filter(ended_at__isnull=True).order_by("pk").select_for_update()
    found = list(open_ones.values_list("pk", "token_hash"))
    # By the clock that the other processes will ask about changes.
    Session.objects.filter(pk__in=[pk for pk, _ in found]).update(ended_at=Now(), changed_at=Now())
    announce_user(user_id, [bytes(digest) for _, digest in found])
    return len(found)


def _touch(user_id: int) -> None:
    """What the user is shown as has changed: have it announced for all open sessions."""
    sessions = Session.objects.filter(user_id=user_id, ended_at__isnull=True).order_by("pk")
    found = list(sessions.select_for_update().values_list("pk", "token_hash"))
    Session.objects.filter(pk__in=[pk for pk, _ in found]).update(changed_at=Now())
    announce_user(user_id, [bytes(digest) for _, digest in found])


def _show_as(person: Person, change: Callable[[User], None]) -> Person:
    with transaction.atomic():
        user = _lock([person.user_id]).first()
        if user is None:
            raise SessionEndedError
        change(user)
        User.objects.filter(pk=user.pk).update(nickname=user.nickname, image=user.image)
        _touch(user.pk)
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


def _audit(kind: Kind, person: Person, address: str, detail: str = "") -> None:
    audit_write(
        kind=kind,
        user_id=person.user_id,
        username=person.username,
        address=address,
        detail=detail,
    )


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
