"""Registers the accounts room with Django."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The accounts room."""

    name = "accounts"
    verbose_name = "People"

    def ready(self) -> None:
        """Have heard what Django's own views and commands do: logins, and new passwords."""
        from accounts.password_watch import watch_passwords
        from accounts.staff_login import watch_logins

        watch_logins()
        watch_passwords()
