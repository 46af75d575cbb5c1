"""Reads of people and their sessions."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from accounts.models import Session, User
from accounts.people import Person
from accounts.pictures import picture_url
from commons.rows import find_row

SESSIONS_SHOWN = 1_000

# `live()` in SQL: every check that memory and Redis cannot answer asks this, and composing it anew
# takes as long as PostgreSQL takes to answer.
_CHECK = """
SELECT s.token_hash, s.id, s.user_id, u.username, u.nickname, u.image, s.expires_at
FROM accounts_session s JOIN accounts_user u ON u.id = s.user_id
WHERE s.token_hash = ANY(%s) AND s.ended_at IS NULL AND s.expires_at > statement_timestamp()
  AND s.last_used_at > statement_timestamp() - %s * interval '1 second' AND u.is_active
"""


def live() -> Q:
    """Sessions that are neither ended nor expired, of people who may log in; by PostgreSQL's clock,
    which all processes share.
    """
    idle = timedelta(seconds=settings.ACCOUNT_SESSION_IDLE_S)
    return Q(
        ended_at__isnull=True,
        expires_at__gt=Now(),
        last_used_at__gt=Now() - idle,
        user__is_active=True,
    )


def user_by_key(key: str) -> User | None:
    """The user whose name has that key."""
    return find_row(User, "username_key", key)


def people_by_token_hash(token_hashes: Sequence[bytes]) -> dict[bytes, tuple[Person, datetime]]:
    """Whose each is of these that is a live session's, and when that expires at the latest."""
    with connection.cursor() as cursor:
        cursor.execute(_CHECK, [list(token_hashes), settings.ACCOUNT_SESSION_IDLE_S])
        rows = cursor.fetchall()
    people = {}
    for token_hash, session_id, user_id, username, nickname, image, expires_at in rows:
        person = Person(
            user_id=user_id,
            session_id=session_id,
            username=username,
            nickname=nickname,
            image=picture_url(image),
        )
        people[bytes(token_hash)] = person, expires_at
    return people


def person_of(user: User, session_id: UUID) -> Person:
    """The user as seen through one of their sessions."""
    return Person(
        user_id=user.pk,
        session_id=session_id,
        username=user.username,
        nickname=user.nickname,
        image=picture_url(user.image),
    )


def sessions_of(user_id: int) -> QuerySet[Session]:
    """The user's live sessions, the newest first; `SESSIONS_SHOWN` at most."""
    return Session.objects.filter(live(), user_id=user_id).order_by("-created_at")[:SESSIONS_SHOWN]


class Change(NamedTuple):
    """A session that ended, or whose user is shown differently from then on."""

    user_id: int
    session_id: UUID
    token_hash: bytes
    at: datetime


def changes_since(seconds: float) -> list[Change]:
    """What changed in the last `seconds`."""
    since = Now() - timedelta(seconds=seconds)
    rows = Session.objects.filter(changed_at__gt=since).order_by()
    return [
        Change(user_id, session_id, bytes(token_hash), at)
        for user_id, session_id, token_hash, at in rows.values_list(
            "user_id", "id", "token_hash", "changed_at"
        )
        if at is not None
    ]
