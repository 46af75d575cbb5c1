"""Logging in to the admin: the same lockout, the same threads that hash, the same account log.

Without this, the admin's form would be the place to guess passwords at.
"""

from typing import Any, ClassVar

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.forms import AuthenticationForm

from accounts.addresses import client_address
from accounts.audit import Kind, audit_write
from accounts.errors import BadCredentialsError, LockedError
from accounts.models import User
from accounts.pages.words import wait_words
from accounts.services import credentials_check


class LockingBackend(ModelBackend):
    """Django's backend of passwords and permissions, whose failures count."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        """The user, or None. LockedError after too many failures, BusyError when too many ask."""
        if username is None or password is None:
            return None
        address = client_address(request) if request is not None else ""
        try:
            return credentials_check(username=username, password=password, address=address)
        except BadCredentialsError:
            return None


class StaffLoginForm(AuthenticationForm):  # type: ignore[misc] # the theme has no types
    """The admin's form, which says so when somebody is locked out."""

    error_messages: ClassVar = {
        **AuthenticationForm.error_messages,
        "invalid_login": "There is no operator with this name and this password.",
    }

    def clean(self) -> Any:
        """The form's data, once they fit together."""
        try:
            return super().clean()
        except LockedError as error:
            left = wait_words(error.retry_after_s)
            msg = f"Too many attempts failed. Try again in {left}."
            raise ValidationError(msg) from None


def note_login(sender: type[User], request: HttpRequest, user: User, **kwargs: Any) -> None:
    """Tell the account log of a login to the admin."""
    audit_write(
        kind=Kind.LOGIN,
        user_id=user.pk,
        username=user.get_username(),
        address=client_address(request),
        detail="admin",
    )


def watch_logins() -> None:
    """Have `note_login` called."""
    user_logged_in.connect(note_login, dispatch_uid="accounts.staff_login")
