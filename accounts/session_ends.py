"""How sessions end, and how it is made known that what their user is shown as has changed."""

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts.audit import Kind, audit_person, audit_write
from accounts.changes import announce_user
from accounts.errors import SessionNotFoundError
from accounts.models import Session, User
from accounts.people import Person
from accounts.selectors import live


def session_close(*, person: Person, address: str = "") -> None:
    """Log out: end the session that the person is here with. Nothing happens if it has ended."""
    with transaction.atomic():
        if end_sessions(Session.objects.filter(pk=person.session_id), person.user_id):
            audit_person(Kind.LOGOUT, person, address)


def session_end(*, person: Person, session_id: UUID, address: str = "") -> None:
    """End one of the person's sessions. SessionNotFoundError when they have none of that id."""
    with transaction.atomic():
        mine = Session.objects.filter(live(), user_id=person.user_id, pk=session_id)
        found = list(mine.values_list("pk", flat=True))
        if not end_sessions(Session.objects.filter(pk__in=found), person.user_id):
            raise SessionNotFoundError
        audit_person(Kind.LOGOUT, person, address, detail=f"session {session_id}")


def sessions_close_others(*, person: Person, address: str = "") -> int:
    """End all sessions of the person but the one they are here with; gives how many."""
    with transaction.atomic():
        others = Session.objects.filter(user_id=person.user_id).exclude(pk=person.session_id)
        if ended := end_sessions(others, person.user_id):
            audit_person(Kind.LOGOUT, person, address, detail=f"{ended} other sessions")
    return ended


def sessions_close_all(*, user_id: int, actor: str) -> int:
    """End all sessions of a user, on behalf of `actor`; gives how many. Also of logins that are
    under way: with the user's row locked they are either done, or begin after this.
    """
    with transaction.atomic():
        lock_users([user_id]).first()
        ended = end_sessions(Session.objects.filter(user_id=user_id), user_id)
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
            theirs = Session.objects.filter(pk__in=session_ids, user_id=user_id)
            count = end_sessions(theirs, user_id)
            detail = f"{count} sessions, by {actor}"
            audit_write(kind=Kind.LOGOUT, user_id=user_id, username=username, detail=detail)
            ended += count
    return ended


def lock_users(user_ids: Sequence[int]) -> QuerySet[User]:
    """Those users, their rows locked for the transaction once they are read. Not their keys: who
    has locked a session first, and then refers to its user, must not wait for who has the user
    and wants the session.
    """
    return User.objects.filter(pk__in=user_ids).order_by("pk").select_for_update(no_key=True)


def end_sessions(sessions: QuerySet[Session], user_id: int) -> int:
    """End those that have not, in the transaction around, and have it announced; gives how many."""
    open_ones = sessions.filter(ended_at__isnull=True).order_by("pk").select_for_update()
    found = list(open_ones.values_list("pk", "token_hash"))
    # By the clock that the other processes will ask about changes.
    Session.objects.filter(pk__in=[pk for pk, _ in found]).update(ended_at=Now(), changed_at=Now())
    announce_user(user_id, [bytes(digest) for _, digest in found])
    return len(found)


def touch_sessions(user_id: int) -> None:
    """What the user is shown as has changed: have it announced for all open sessions."""
    sessions = Session.objects.filter(user_id=user_id, ended_at__isnull=True).order_by("pk")
    found = list(sessions.select_for_update().values_list("pk", "token_hash"))
    Session.objects.filter(pk__in=[pk for pk, _ in found]).update(changed_at=Now())
    announce_user(user_id, [bytes(digest) for _, digest in found])
