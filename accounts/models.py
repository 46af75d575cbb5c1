"""Tables of people: who they are, their sessions, failed logins, and what happened.

The project's user is its own model from the first migration: it cannot be changed later.
"""

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.contrib.postgres.indexes import BrinIndex
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from accounts.errors import InvalidFieldError
from accounts.names import (
    NICKNAME_CHARACTERS_MAX,
    OPERATOR_NAME_CHARACTERS_MAX,
    USERNAME_KEY_CHARACTERS_MAX,
    known_username,
    username_key,
)

AUDIT_TEXT_CHARACTERS = 150
DEVICE_CHARACTERS = 200


def new_session_id() -> uuid.UUID:
    """A version 7 UUID: new sessions land at the end of the primary key, not all over it."""
    return uuid7()


def validate_username(value: str) -> None:
    """Django's validator of a username; longer ones than the public may choose are possible."""
    try:
        known_username(value, most=OPERATOR_NAME_CHARACTERS_MAX)
    except InvalidFieldError as error:
        raise ValidationError(error.problem) from None


class UsernameKeyField(models.CharField):  # type: ignore[type-arg]
    """Follows `username` whenever a row is written."""

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        """The key of the name as it is now."""
        key = username_key(getattr(model_instance, "username", ""))
        setattr(model_instance, self.attname, key)
        return key


class UserManager(DjangoUserManager["User"]):
    """Finds people by name, whatever the case."""

    def get_by_natural_key(self, username: str | None) -> "User":
        """The user of that name; User.DoesNotExist."""
        return self.get(username_key=username_key(username or ""))


class User(AbstractUser):
    """A person who can log in. Operators are users with staff rights."""

    username = models.CharField(
        max_length=OPERATOR_NAME_CHARACTERS_MAX,
        unique=True,
        validators=[validate_username],
        help_text="At most 150 characters, none of them invisible. Case makes no difference.",
        error_messages={"unique": "A user with that username already exists."},
    )
    username_key = UsernameKeyField(max_length=USERNAME_KEY_CHARACTERS_MAX, editable=False)
    nickname = models.CharField(
        max_length=NICKNAME_CHARACTERS_MAX, blank=True, default="", db_default=""
    )
    # The name of a picture that `accounts.pictures` keeps.
    image = models.CharField(max_length=100, blank=True, default="", db_default="", editable=False)

    objects: ClassVar[UserManager] = UserManager()

    class Meta(AbstractUser.Meta):
        verbose_name = "user"
        verbose_name_plural = "users"
        indexes = [
            # Whose picture a file is; most people have none.
            models.Index(fields=["image"], name="user_image", condition=~models.Q(image="")),
        ]
        constraints = [
            # Not `unique` of the field, which would also make an index for LIKE.
            models.UniqueConstraint(fields=["username_key"], name="user_username_key"),
        ]

    def clean(self) -> None:
        """Also refuses a name that differs from another's in case only."""
        super().clean()
        # A form that has refused the name leaves none.
        if not self.username:
            return
        same = User.objects.filter(username_key=username_key(self.username)).exclude(pk=self.pk)
        if same.exists():
            raise ValidationError({"username": "A user with that username already exists."})

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Writes the key wherever the name is written."""
        fields = kwargs.get("update_fields")
        if fields is not None and "username" in fields:
            kwargs["update_fields"] = {*fields, "username_key"}
        super().save(*args, **kwargs)


class Session(models.Model):
    """Somebody logged in on one device. Written only by `accounts.services` and its parts."""

    id = models.UUIDField(primary_key=True, default=new_session_id, editable=False)
    # SHA-256 of the token; the token itself is kept nowhere.
    token_hash = models.BinaryField(max_length=32, unique=True)
    # The rows of a person who is deleted stay for as long as others do: their end is what tells
    # processes that did not hear of it. Nobody's session is ever valid.
    user = models.ForeignKey(
        User, on_delete=models.DO_NOTHING, db_constraint=False, related_name="sessions"
    )
    device = models.CharField(max_length=DEVICE_CHARACTERS, blank=True)
    address = models.GenericIPAddressField(null=True)
    created_at = models.DateTimeField()
    # Written in batches: a little behind.
    last_used_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    # When it ended, or when what its user is shown as changed; null before. What caches go by.
    changed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["user", "-created_at"], name="session_user"),
            models.Index(
                fields=["changed_at"],
                name="session_changed",
                condition=models.Q(changed_at__isnull=False),
            ),
            models.Index(fields=["expires_at"], name="session_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.device or 'a device'}, since {self.created_at:%Y-%m-%d %H:%M}"


class Lockout(models.Model):
    """Failed logins of an account, or from an address, and until when it is locked for them.

    An account is named by its key, whether it exists or not: that an unknown name is never locked
    would tell that it is unknown.
    """

    class Kind(models.TextChoices):
        """What failures are counted for."""

        ACCOUNT = "account", "account"
        ADDRESS = "address", "address"

    kind = models.CharField(max_length=7, choices=Kind)
    subject = models.CharField(max_length=USERNAME_KEY_CHARACTERS_MAX)
    # Tries under way count as failures until they succeed.
    failures = models.IntegerField()
    last_failure_at = models.DateTimeField()
    locked_until = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-last_failure_at"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "subject"], name="lockout_subject"),
        ]
        indexes = [models.Index(fields=["last_failure_at"], name="lockout_last")]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"

    @property
    def is_locked(self) -> bool:
        """Whether logins are refused now."""
        return self.locked_until is not None and self.locked_until > timezone.now()


class AuditEvent(models.Model):
    """Something that happened to an account. Kept for `ACCOUNT_AUDIT_DAYS`, never changed."""

    class Kind(models.TextChoices):
        """What happened."""

        REGISTER = "register", "registered"
        LOGIN = "login", "logged in"
        FAILURE = "failure", "failed to log in"
        LOCKOUT = "lockout", "was locked out"
        UNLOCK = "unlock", "was unlocked"
        PASSWORD = "password", "changed the password"
        LOGOUT = "logout", "logged out"

    at = models.DateTimeField()
    kind = models.CharField(max_length=8, choices=Kind)
    user = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    # The name as it was given, also of somebody who does not exist.
    username = models.CharField(max_length=AUDIT_TEXT_CHARACTERS, blank=True)
    address = models.CharField(max_length=AUDIT_TEXT_CHARACTERS, blank=True)
    # Who did it, when it was somebody else; or what about it.
    detail = models.CharField(max_length=AUDIT_TEXT_CHARACTERS, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            # The log grows in the order of time, which is what this kind of index is made for.
            BrinIndex(fields=["at"], name="audit_at"),
            models.Index(fields=["user", "-id"], name="audit_user"),
        ]

    def __str__(self) -> str:
        return f"{self.username} {self.get_kind_display()}"
