"""Errors that every room may raise and every edge knows how to answer."""


class DomainError(Exception):
    """Something the caller can understand and perhaps correct; the message is for people."""


class NotFoundError(DomainError):
    """What was named does not exist."""


class ConflictError(DomainError):
    """The request contradicts what exists."""


class BusyError(DomainError):
    """Others were in the way for too long. Nothing was done; trying again later may help."""


class UncertainError(DomainError):
    """A store went away while it was writing: what was asked for is done, or it is not."""
