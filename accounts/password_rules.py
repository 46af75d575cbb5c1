"""What Django's own forms and commands ask of a new password, beside its length in the API."""

from typing import Any

from django.core.exceptions import ValidationError

from accounts.errors import InvalidFieldError
from accounts.names import PASSWORD_CHARACTERS_MAX, PASSWORD_CHARACTERS_MIN, clean_password


class LengthValidator:
    """The rule that everybody's passwords have."""

    def validate(self, password: str, user: Any = None) -> None:
        """ValidationError for one that is too short or too long."""
        try:
            clean_password(password)
        except InvalidFieldError as error:
            raise ValidationError(f"The password {error.problem}.") from None

    def get_help_text(self) -> str:
        """The rule."""
        return f"{PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters."
