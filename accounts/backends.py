"""Logging in to the admin: by the same rules, lockouts and audit as everywhere else."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from accounts.addresses import client_address
from accounts.errors import BadCredentialsError, BusyError, LockedError
from accounts.models import User
from accounts.services import credentials_check


class AccountBackend(ModelBackend):
    """Django's own backend with another look at the password."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        """The user, or None. PermissionDenied while the account or the address is locked, so that
        no other backend is asked.
        """
        if username is None or password is None:
            return None
        address = client_address(request) if request is not None else ""
        try:
            return credentials_check(username=username, password=password, address=address)
        except BadCredentialsError:
            return None
        except (LockedError, BusyError) as error:
            raise PermissionDenied(str(error)) from None
