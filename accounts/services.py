"""Writes of users."""

from django.db import transaction
from rest_framework.authtoken.models import Token

from accounts.models import User


def operator_ensure(*, username: str, password: str, token: str) -> bool:
    """Make the operator exist, with all permissions; True when the user was created now.

    An operator that exists keeps the password it has: somebody may have changed it since.
    """
    with transaction.atomic():
        user = User.objects.filter(username=username).first()
        created = user is None
        if user is None:
            user = User.objects.create_superuser(username=username, password=password)
        Token.objects.get_or_create(user=user, defaults={"key": token})
    return created
