"""`python -m benchmarks [A1 A2 …]`: runs them, prints tables, writes JSON; exit 1 on a miss."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.accounts import AccountsBenchmarks
from benchmarks.ads import AdsBenchmarks, Effort
from benchmarks.counters import CountersBenchmarks
from benchmarks.report import Result, machine, save, show
from benchmarks.timeseries import TimeseriesBenchmarks
from config import env
from tests.support.stores import Stores

NAMES = (
    "A1",
    "A2",
    "A3",
    "A4",
    "A5",
    "A6",
    "C1",
    "C2",
    "C3",
    "T1",
    "T2",
    "T3",
    "T4",
    "U1",
    "U2",
    "U3",
)
# By the first letter of the benchmark's name.
ROOMS: dict[str, Callable[[Stores, Path, Effort], Any]] = {
    "A": AdsBenchmarks,
    "C": CountersBenchmarks,
    "T": TimeseriesBenchmarks,
    "U": AccountsBenchmarks,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of runs (default 5)")
    parser.add_argument("--seconds", type=int, default=5, help="seconds a run (default 5)")
    parser.add_argument("--most-ads", type=int, default=1_000_000, help="largest catalog")
    parser.add_argument("--most-users", type=int, default=1_000_000, help="most users")
    arguments = parser.parse_args()
    arguments.names = [name.upper() for name in arguments.names] or list(NAMES)
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return arguments


def _run(names: Sequence[str], effort: Effort, console: Console) -> list[Result]:
    results = []
    with Stores() as stores, tempfile.TemporaryDirectory(prefix="adhouse-bench-") as directory:
        rooms = cache(lambda letter: ROOMS[letter](stores, Path(directory) / letter, effort))
        for name in names:
            result = getattr(rooms(name[0]), name.lower())()
            show(result, console)
            results.append(result)
    return results


def main() -> int:
    """0 when every target was met, else 1."""
    arguments, console, on = _arguments(), Console(), machine()
    # Told to stop, it stops the servers that it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sizes = arguments.most_ads, arguments.most_users
    effort = Effort(arguments.rounds, arguments.seconds, *sizes)
    results = _run(arguments.names, effort, console)
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    path = save(results, directory=env.data_dir() / "bench", command=command, on=on)
    console.print(f"\nwritten to {path}")
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
