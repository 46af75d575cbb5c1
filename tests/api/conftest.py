"""Operators of several kinds, each with a client that sends their token."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from rest_framework.authtoken.models import Token

from accounts.models import User


def client_of(user: User) -> Client:
    """A client that sends the user's token, and enforces CSRF as a server does."""
    token = Token.objects.create(user=user)
    return Client(
        headers={"authorization": f"Token {token.key}"},
        enforce_csrf_checks=True,
        raise_request_exception=False,
    )


@pytest.fixture
def operator(db: None) -> User:
    return User.objects.create_superuser("olga", password="secret-enough")


@pytest.fixture
def client_op(operator: User) -> Client:
    return client_of(operator)


@pytest.fixture
def staff_with(db: None) -> Callable[..., Client]:
    """A client of a staff member who has just the named permissions."""

    def make(*codenames: str, is_staff: bool = True) -> Client:
        user = User.objects.create_user("+".join(codenames) or "nobody", is_staff=is_staff)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        return client_of(user)

    return make


@pytest.fixture
def anonymous() -> Client:
    return Client(raise_request_exception=False)
