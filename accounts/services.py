"""Writes of users."""

from django.contrib.auth.models import Group, Permission
from django.db import transaction
from rest_framework.authtoken.models import Token

from accounts.models import User

OPERATORS_GROUP = "Operators"
_OPERATORS_MAY = ("add_ad", "change_ad", "delete_ad", "view_ad", "view_adchange")


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


def token_rotate(*, user: User) -> str:
    """Give the user a new API token; the one before it, if any, stops working. Gives the key."""
    with transaction.atomic():
        # The row's lock puts two people who press the button at once in a line.
        User.objects.select_for_update().get(pk=user.pk)
        Token.objects.filter(user=user).delete()
        return str(Token.objects.create(user=user).key)


def token_revoke(*, user: User) -> None:
    """Take the user's API token away; nothing happens when there is none."""
    Token.objects.filter(user=user).delete()


def operators_group_ensure() -> None:
    """Make the group `Operators` exist: everything about ads, nothing about people.

    A group that exists keeps the permissions it has: somebody may have changed them since.
    """
    group, created = Group.objects.get_or_create(name=OPERATORS_GROUP)
    if created:
        group.permissions.set(
            Permission.objects.filter(
                content_type__app_label="adserver", codename__in=_OPERATORS_MAY
            )
        )
