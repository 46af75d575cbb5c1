"""The admin's forms of people: new names and passwords follow the rules that everybody's do."""

from typing import Any

from django.core.exceptions import ValidationError
from unfold.forms import UserChangeForm, UserCreationForm

from accounts.errors import InvalidFieldError
from accounts.names import USERNAME_CHARACTERS_MAX, clean_username
from commons.words import sentence

_HINT = f"1 to {USERNAME_CHARACTERS_MAX} characters. Capitals make no difference."


class _Named:
    """A form with a username: a new one is checked, one from before the rules may stay."""

    fields: dict[str, Any]
    cleaned_data: dict[str, Any]
    changed_data: list[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].help_text = _HINT

    def clean_username(self) -> str:
        """The name in its normal form."""
        username: str = self.cleaned_data["username"]
        if "username" not in self.changed_data:
            return username
        try:
            return clean_username(username)
        except InvalidFieldError as error:
            raise ValidationError(sentence(error.problem)) from None


class PersonCreationForm(_Named, UserCreationForm):
    """A new person."""


class PersonChangeForm(_Named, UserChangeForm):
    """A person."""
