"""Registers the accounts room with Django."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The accounts room."""

    name = "accounts"
    verbose_name = "People"

    def ready(self) -> None:
        """Have logins to the admin noted: by a signal, since Django's own view makes them."""
        from accounts.staff_login import watch_logins

        watch_logins()
