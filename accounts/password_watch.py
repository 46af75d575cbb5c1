"""Ends a user's sessions when their password is set in any of Django's own ways: the admin's pages,
`manage.py changepassword`. `accounts.services.password_change` does so by itself.
"""

from typing import Any

from django.db import transaction
from django.db.models.signals import post_save

from accounts.models import User
from accounts.services import sessions_close_all


def end_sessions(sender: type[User], instance: User, created: bool, **kwargs: Any) -> None:
    """End all sessions of a user whose row was just written with another password."""
    # What `set_password` leaves for the end of `save`; not there when a hash is only made anew.
    if created or getattr(instance, "_password", None) is None:
        return
    with transaction.atomic():
        sessions_close_all(user_id=instance.pk, actor="a new password")


def watch_passwords() -> None:
    """Have `end_sessions` called."""
    post_save.connect(end_sessions, sender=User, dispatch_uid="accounts.password_watch")
