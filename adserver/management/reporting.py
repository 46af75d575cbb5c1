"""What the commands share: progress for people and for logs, and errors in one clear line."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from django.core.management.base import CommandError
from django.db import DatabaseError, InterfaceError, OperationalError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from runtime.errors import BusyError

Advance = Callable[[int], None]


@contextmanager
def progress(what: str, *, total: int, file: TextIO | None = None) -> Iterator[Advance]:
    """Gives a function that takes how many of `total` are done so far.

    A bar on a terminal, otherwise a line each time; both on stderr, since stdout is for results.
    """
    out = file or sys.stderr
    if not out.isatty():
        yield lambda done: print(f"{what}: {done} of {total}", file=out, flush=True)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(file=out),
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


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
