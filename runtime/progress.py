"""How far a long command has come: a bar for people, lines for logs."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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
