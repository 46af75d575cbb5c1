"""What a benchmark found: on screen as tables, on disk as JSON."""

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.rounds import Series


@dataclass(frozen=True)
class Target:
    """One figure, with the bound it should keep, if it has one."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        """Whether the bound is kept; a figure without one is only told."""
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    @property
    def bound(self) -> str:
        """The bound in signs."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return f"≤ {self.at_most:g}" if self.at_most is not None else ""


@dataclass(frozen=True)
class Result:
    """One benchmark: what each server did in its rounds, and the figures that matter."""

    id: str
    title: str
    series: Sequence[Series]
    targets: Sequence[Target]
    facts: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Whether all bounds are kept and no request failed."""
        errors = sum(load.errors for each in self.series for load in each.loads)
        return errors == 0 and all(target.met for target in self.targets)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        targets = [
            {"name": t.name, "value": round(t.value, 3), "bound": t.bound, "met": t.met}
            for t in self.targets
        ]
        return {
            "id": self.id,
            "title": self.title,
            "passed": self.passed,
            "targets": targets,
            "series": [each.summary() for each in self.series],
            "facts": self.facts,
        }


def show(result: Result, console: Console) -> None:
    """Print one result."""
    console.print(f"\n[bold]{result.id}[/] {result.title}")
    if result.series:
        table = Table("server", "requests/s", "CPU µs/request", "p50 ms", "p99 ms", "errors")
        for each in map(Series.summary, result.series):
            keys = ("requests_per_s", "cpu_us_per_request", "p50_ms", "p99_ms", "errors")
            table.add_row(each["name"], *(f"{each[key]:,}" for key in keys))
        console.print(table)
    for target in result.targets:
        mark = "[green]ok[/]" if target.met else "[red]MISSED[/]"
        sign = mark if target.bound else ""
        console.print(f"  {target.value:8.2f} {target.name} {target.bound} {sign}")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "load_average_before": psutil.getloadavg()[0],
    }


def save(results: Sequence[Result], *, directory: Path, command: str, on: dict[str, Any]) -> Path:
    """Write all results to a file named by the time; gives its path."""
    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    path = directory / f"{now:%Y%m%d-%H%M%S}.json"
    document = {
        "at": now.isoformat(),
        "command": command,
        "machine": on,
        "results": [result.as_dict() for result in results],
    }
    path.write_text(json.dumps(document, indent=1))
    return path
