"""What the commands share: progress for people and for logs, and errors in one clear line."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError
from django.db import DatabaseError, InterfaceError, OperationalError

from runtime.errors import BusyError
from runtime.progress import progress as progress


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn what a store or a full disk may say into one line and exit code 1."""
    try:
        yield
    except BusyError as error:
        raise CommandError(str(error)) from error
    except (OperationalError, InterfaceError) as error:
        raise CommandError(f"the database cannot be used: {_first_line(error)}") from error
    except DatabaseError as error:
        raise CommandError(f"the database refused: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
