"""The project's user. Its own model from the first migration: it cannot be changed later."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """A person who can log in. Operators are users with staff rights."""

    class Meta(AbstractUser.Meta):
        verbose_name = "user"
        verbose_name_plural = "users"
