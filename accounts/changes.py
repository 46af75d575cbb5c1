"""Tells all processes that something about a person has changed, so that their memories forget it.

| message | says |
| --- | --- |
| `user 17` | a session of user 17 ended, or what they are shown as has changed |
| `failure bob` | somebody failed to log in to the account `bob` |
| `lock account bob` | the account `bob` is locked; `lock address …` the same of an address |

A message that is lost costs a second: every process also asks PostgreSQL what has changed.
"""

from collections.abc import Sequence
from functools import cache

from django.conf import settings
from django.db import transaction

from accounts.sessions import process_sessions
from runtime.pubsub import Publisher

CHANNEL = "accounts:changes"


@cache
def _publisher() -> Publisher:
    return Publisher(settings.CACHE_REDIS_URL, CHANNEL)


def announce_user(user_id: int, token_hashes: Sequence[bytes]) -> None:
    """Announce, once it is committed, a change of a user, and of their sessions so hashed."""
    transaction.on_commit(lambda: _tell_user(user_id, token_hashes))


def announce_failure(account: str) -> None:
    """Announce, once it is committed, that the account's next right password has to be noted."""
    transaction.on_commit(lambda: _tell(f"failure {account}"))


def announce_lock(kind: str, subject: str) -> None:
    """Announce, once it is committed, that logins of an account or from an address are refused."""
    transaction.on_commit(lambda: _tell(f"lock {kind} {subject}"))


def _tell_user(user_id: int, token_hashes: Sequence[bytes]) -> None:
    # Before the message: who hears it and asks Redis again must not find the old answer there.
    process_sessions().redis.mark_changed(token_hashes)
    _tell(f"user {user_id}")


def _tell(message: str) -> None:
    # This process need not hear it from Redis, which may be away.
    process_sessions().heard(message)
    _publisher().publish(message)
