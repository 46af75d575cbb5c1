"""Closed-loop load from wrk, and what it measured."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).parent / "scripts"
CONNECTIONS = 64
_THREADS = 2
_UNIT_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class MissingProgramError(RuntimeError):
    """A program that the benchmarks need is not installed."""


def program(name: str) -> str:
    """The full path of a program; MissingProgramError says which package has it."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if path is None:
        raise MissingProgramError(f"{name} is needed: apt-get install {name}")
    return path


@dataclass(frozen=True)
class Load:
    """One run of wrk. Latencies in milliseconds; `errors` counts answers other than 2xx and
    connections that failed or timed out.
    """

    requests: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int


def run_wrk(
    url: str, *, script: str, duration_s: int, connections: int = CONNECTIONS, seed: int = 1
) -> Load:
    """Send what `script` makes to `url` for `duration_s` seconds, and read wrk's report."""
    command = [program("wrk"), f"-t{_THREADS}", f"-c{connections}", f"-d{duration_s}s"]
    command += ["--latency", "--timeout", "5s", "-s", str(SCRIPTS / script), url, "--", str(seed)]
    report = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=duration_s + 30
    ).stdout
    return parse_report(report)


def parse_report(report: str) -> Load:
    """A `Load` from what wrk prints."""
    errors = _number(r"Non-2xx or 3xx responses: (\d+)", report)
    for kind in ("connect", "read", "write", "timeout"):
        errors += _number(rf"Socket errors:.*{kind} (\d+)", report)
    return Load(
        requests=_number(r"(\d+) requests in", report),
        requests_per_s=float(_found(r"Requests/sec:\s+([\d.]+)", report)),
        p50_ms=_latency("50%", report),
        p99_ms=_latency("99%", report),
        errors=errors,
    )


def _latency(name: str, report: str) -> float:
    match = re.search(rf"{name}\s+([\d.]+)(us|ms|s|m)\b", report)
    if match is None:
        raise ValueError(f"wrk reported no {name} latency:\n{report}")
    return float(match[1]) * _UNIT_MS[match[2]]


def _found(pattern: str, report: str) -> str:
    match = re.search(pattern, report)
    if match is None:
        raise ValueError(f"wrk's report has no {pattern!r}:\n{report}")
    return match[1]


def _number(pattern: str, report: str) -> int:
    match = re.search(pattern, report)
    return int(match[1]) if match else 0
