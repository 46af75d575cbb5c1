"""What can be wrong with a request about an account. Pure; edges choose how to say it."""

import math

from runtime.errors import BusyError, ConflictError, DomainError, NotFoundError

__all__ = [
    "BadCredentialsError",
    "BusyError",
    "InvalidFieldError",
    "LockedError",
    "SessionEndedError",
    "SessionNotFoundError",
    "UsernameTakenError",
]


class InvalidFieldError(DomainError):
    """A field does not hold what it must; `field` names it, the message too."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class UsernameTakenError(ConflictError):
    """Somebody has that name, or one that differs in case only."""

    def __init__(self) -> None:
        super().__init__("username: is taken")


class BadCredentialsError(DomainError):
    """No such user, a wrong password, or somebody who may not log in: one answer for all."""

    def __init__(self, msg: str = "username or password: is wrong") -> None:
        super().__init__(msg)


class LockedError(DomainError):
    """Too many failures, of the account or from the address; `retry_after_s` is 1 or more."""

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = max(1, math.ceil(retry_after_s))
        super().__init__(f"login: too many failures, try again in {self.retry_after_s} s")


class SessionEndedError(DomainError):
    """The person's account was deleted a moment ago, and their session with it."""

    def __init__(self) -> None:
        super().__init__("authorization: the session has ended")


class SessionNotFoundError(NotFoundError):
    """The person has no such session, or it has ended."""

    def __init__(self) -> None:
        super().__init__("id: there is no such session")
