"""Writes of operators: the first one, their group, and API tokens."""

from collections.abc import Callable, Mapping

from django.contrib.auth.models import Group, Permission
from django.db import transaction
from rest_framework.authtoken.models import Token

from accounts.models import User
from accounts.names import username_key
from commons.prepared import Named, find
from commons.rows import columns_of, row_of

OPERATORS_GROUP = "Operators"
_BY_TOKEN = Named.of(
    "accounts_operator",
    f"""
    SELECT {columns_of(User)} FROM authtoken_token
    JOIN accounts_user ON accounts_user.id = authtoken_token.user_id
    WHERE authtoken_token.key = %(key)s
    """,  # noqa: S608
)
_OPERATORS_MAY = {
    "adserver": ("add_ad", "change_ad", "delete_ad", "view_ad", "view_adchange"),
    "counters": ("view_counter", "view_deadletter"),
    "timeseries": ("view_tag",),
}


def operator_ensure(*, credentials: Callable[[], Mapping[str, str]]) -> bool:
    """Make the first operator, with all permissions, when there is none yet; True when it did.

    `credentials` gives `username`, `password` and `token`, and is asked only then. Where there are
    operators, it is theirs to say who works here: somebody renamed, dismissed or without a token
    since stays so. People who registered are no operators, but keep their name.
    """
    if User.objects.filter(is_staff=True).exists():
        return False
    given = credentials()
    if User.objects.filter(username_key=username_key(given["username"])).exists():
        return False
    with transaction.atomic():
        user = User.objects.create_superuser(given["username"], password=given["password"])
        Token.objects.create(user=user, key=given["token"])
    return True


def user_by_token(key: str) -> User | None:
    """Whose API token this is; also of somebody who is no longer active."""
    row = find(_BY_TOKEN, {"key": key})
    return None if row is None else row_of(User, row)


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
    """Make the group `Operators` exist: everything about ads, a look at counters and time series,
    nothing about people.

    A group that exists keeps the permissions it has: somebody may have changed them since.
    """
    group, created = Group.objects.get_or_create(name=OPERATORS_GROUP)
    if created:
        for app_label, codenames in _OPERATORS_MAY.items():
            group.permissions.add(
                *Permission.objects.filter(
                    content_type__app_label=app_label, codename__in=codenames
                )
            )
