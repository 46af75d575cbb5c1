"""The shapes of requests and answers, for the OpenAPI schema only."""

from typing import Any

from rest_framework import serializers

from accounts.models import DEVICE_CHARACTERS
from accounts.names import (
    NICKNAME_CHARACTERS_MAX,
    OPERATOR_NAME_CHARACTERS_MAX,
    PASSWORD_CHARACTERS_MAX,
    PASSWORD_CHARACTERS_MIN,
    USERNAME_CHARACTERS_MAX,
)


class NewPasswordField(serializers.CharField):
    """A password that is to be kept."""

    def __init__(self) -> None:
        super().__init__(
            min_length=PASSWORD_CHARACTERS_MIN,
            max_length=PASSWORD_CHARACTERS_MAX,
            trim_whitespace=False,
        )


class NicknameInput(serializers.Serializer[Any]):
    """What others may see instead of the username."""

    nickname = serializers.CharField(max_length=NICKNAME_CHARACTERS_MAX, allow_blank=True)


class Registration(serializers.Serializer[Any]):
    """A new account."""

    username = serializers.CharField(
        min_length=1,
        max_length=USERNAME_CHARACTERS_MAX,
        help_text="Kept in Unicode's form NFKC. No control characters, no white space at the ends.",
    )
    password = NewPasswordField()
    nickname = serializers.CharField(
        max_length=NICKNAME_CHARACTERS_MAX, allow_blank=True, required=False
    )


class Credentials(serializers.Serializer[Any]):
    """Who somebody says to be."""

    username = serializers.CharField(allow_blank=True, trim_whitespace=False)
    password = serializers.CharField(allow_blank=True, trim_whitespace=False)


class PasswordInput(serializers.Serializer[Any]):
    """The password until now, and from now on."""

    old = serializers.CharField(allow_blank=True, trim_whitespace=False)
    new = NewPasswordField()


class ImageInput(serializers.Serializer[Any]):
    """A picture."""

    image = serializers.FileField(help_text="PNG, JPEG or WebP, 2 MiB at most.")


class PersonShown(serializers.Serializer[Any]):
    """A person, as told to themselves."""

    username = serializers.CharField(max_length=OPERATOR_NAME_CHARACTERS_MAX)
    nickname = serializers.CharField(max_length=NICKNAME_CHARACTERS_MAX, allow_blank=True)
    image = serializers.CharField(allow_blank=True, help_text="Path of the picture; empty: none.")


class LoggedIn(serializers.Serializer[Any]):
    """A new session."""

    token = serializers.CharField(help_text="Sent as `Authorization: Bearer <token>`.")
    user = PersonShown()


class SessionShown(serializers.Serializer[Any]):
    """A device on which the person is logged in."""

    id = serializers.UUIDField()
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(help_text="Up to a minute behind.")
    expires_at = serializers.DateTimeField()
    device = serializers.CharField(
        max_length=DEVICE_CHARACTERS, allow_blank=True, help_text="What the client said it is."
    )
    address = serializers.IPAddressField(allow_null=True)
    current = serializers.BooleanField(help_text="Whether it is the one that asks.")


class AccountFault(serializers.Serializer[Any]):
    """Something is wrong."""

    msg = serializers.CharField(help_text="`<field>: <what is wrong with it>`")
