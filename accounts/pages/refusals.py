"""What the services refuse, in words beside the field that it is about."""

from types import TracebackType
from typing import Any, Self

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.errors import (
    BadCredentialsError,
    InvalidFieldError,
    LockedError,
    UsernameTakenError,
)
from accounts.pages.forms import AccountForm
from accounts.pages.words import wait_words
from commons.words import sentence
from runtime.errors import BusyError

_BUSY_RETRY_S = 1
_UNKNOWN = "There is no account with this name and this password."
_TAKEN = "Somebody has this name. Choose another one."
_BUSY = "This is not possible just now, and nothing was done. Try again in a moment."


class Attempt:
    """Runs services for a form: what they refuse becomes an error of the form.

    A context manager; when it is left after a refusal, `status` and `retry_after_s` are those to
    answer with. Any other error passes.
    """

    def __init__(self, form: AccountForm) -> None:
        self.status = 400 if form.errors else 200
        self.retry_after_s: int | None = None
        self._form = form

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        match error:
            case InvalidFieldError():
                self._refuse(400, error.field, sentence(error.problem))
            case UsernameTakenError():
                self._refuse(409, "username", _TAKEN)
            case BadCredentialsError() if "old" in self._form.fields:
                self._refuse(400, "old", "This is not your current password.")
            case BadCredentialsError():
                self._refuse(400, None, _UNKNOWN)
            case LockedError():
                self.retry_after_s = error.retry_after_s
                left = wait_words(error.retry_after_s)
                self._refuse(429, None, f"Too many attempts failed. Try again in {left}.")
            case BusyError():
                self.retry_after_s = _BUSY_RETRY_S
                self._refuse(503, None, _BUSY)
            case _:
                return False
        return True

    def _refuse(self, status: int, field: str | None, msg: str) -> None:
        self.status = status
        self._form.add_error(field if field in self._form.fields else None, msg)


def form_page(
    request: HttpRequest, template: str, attempt: Attempt, form: AccountForm, **context: Any
) -> HttpResponse:
    """The page of a form, new or with its mistakes, the cursor where it is needed."""
    form.lead()
    response = render(request, template, {"form": form, **context}, status=attempt.status)
    if attempt.retry_after_s is not None:
        response.headers["Retry-After"] = str(attempt.retry_after_s)
    return response
