"""The forms of the account's pages. What is valid is for `accounts.names` and the services to say,
which say it to the API and to packets as well: these hold only the names, the hints, and what a
browser needs to help.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django import forms

from accounts.errors import InvalidFieldError
from accounts.images import IMAGE_BYTES_MAX
from accounts.names import clean_nickname, clean_password, clean_username
from commons.words import sentence


class AccountForm(forms.Form):
    """A form that leads to the first mistake."""

    required_msg = "Fill this in."
    # Whether there is nothing else to do on its page than to fill it in.
    alone = True
    # Asked for every field before the service is: all mistakes are shown at once.
    rules: ClassVar[Mapping[str, Callable[[object], str]]] = {}

    def __init__(self, data: Any = None, files: Any = None, initial: Any = None) -> None:
        super().__init__(data, files, initial=initial, label_suffix="")
        for field in self.fields.values():
            field.error_messages["required"] = self.required_msg

    def clean(self) -> dict[str, Any]:
        """The fields as they were typed; a mistake in each that breaks its rule."""
        for name, rule in self.rules.items():
            if name in self.cleaned_data:
                try:
                    rule(self.cleaned_data[name])
                except InvalidFieldError as error:
                    self.add_error(name, sentence(error.problem))
        return self.cleaned_data

    def lead(self) -> None:
        """Put the cursor into the first field with a mistake, or into the first of all."""
        if self.non_field_errors() or not (self.alone or self.errors):
            return
        names = [name for name in self.fields if name in self.errors] or list(self.fields)
        self.fields[names[0]].widget.attrs["autofocus"] = True


def _text(label: str, autocomplete: str, help_text: str = "", **given: Any) -> forms.CharField:
    attrs = {"autocomplete": autocomplete, "autocapitalize": "none", "spellcheck": "false"}
    return forms.CharField(
        label=label, help_text=help_text, widget=forms.TextInput(attrs=attrs), **given
    )


def _secret(label: str, autocomplete: str, help_text: str = "") -> forms.CharField:
    return forms.CharField(
        label=label,
        help_text=help_text,
        # A space at its end belongs to a password.
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": autocomplete}),
    )


class RegisterForm(AccountForm):
    """A new account."""

    rules: ClassVar = {
        "username": clean_username,
        "nickname": clean_nickname,
        "password": clean_password,
    }
    username = _text("Username", "username", "1 to 30 characters. Capitals make no difference.")
    nickname = _text(
        "Nickname",
        "nickname",
        "What others see, up to 30 characters. May be left empty.",
        required=False,
    )
    password = _secret("Password", "new-password", "8 to 128 characters.")


class LoginForm(AccountForm):
    """Name and password."""

    username = _text("Username", "username")
    password = _secret("Password", "current-password")


class PasswordForm(AccountForm):
    """The old password and the new one."""

    rules: ClassVar = {"new": clean_password}
    old = _secret("Current password", "current-password")
    new = _secret("New password", "new-password", "8 to 128 characters.")


class NicknameForm(AccountForm):
    """What others see."""

    alone = False
    nickname = _text(
        "What others see", "nickname", "Up to 30 characters. May be left empty.", required=False
    )


class PictureForm(AccountForm):
    """A picture from the person's device."""

    alone = False
    image = forms.FileField(
        label="A picture from this device",
        help_text="PNG, JPEG or WebP, up to 2 MiB. It is shown whole and without what the camera"
        " noted, such as the place.",
        widget=forms.FileInput(
            attrs={
                "accept": "image/png,image/jpeg,image/webp",
                "data-preview": "preview",
                "data-bytes-max": IMAGE_BYTES_MAX,
            }
        ),
    )
    required_msg = "Choose a picture."
