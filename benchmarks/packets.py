"""U2: packets that memory answers, beside a line echo."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import psycopg

from benchmarks.ads import Effort
from benchmarks.house import Catalog
from benchmarks.load import CONNECTIONS, Load, program
from benchmarks.report import Result, Target
from benchmarks.rounds import Series, ratio
from benchmarks.servers import PYTHON, ROOT, WORKERS, Server
from devstack.ports import free_port
from tests.support.stores import Stores

USERS = 1_000
# Each of the processes has to hash the password of each of these once.
LOGIN_USERS = 16
# Less than a hash takes, and more than an answer from memory.
_WARM_MS = 10.0
_WARM_UP_RUNS_MOST = 30
_PASSWORD = "correct horse"
_TOKENS = [f"{number:043d}" for number in range(USERS)]
_SESSIONS = """
INSERT INTO accounts_session (id, token_hash, user_id, device, created_at, last_used_at, expires_at)
SELECT gen_random_uuid(), decode(hash, 'hex'), u.id, '', now(), now(), now() + interval '1 day'
FROM unnest(%s::text[]) WITH ORDINALITY AS given (hash, number)
JOIN accounts_user u ON u.username = 'seed-' || (number - 1)
"""


class PacketsBenchmarks:
    """The benchmark over one set of throw-away stores."""

    def __init__(self, stores: Stores, directory: Path, effort: Effort) -> None:
        self._directory = directory
        self._effort = effort
        self._house = Catalog(stores, directory, count=1)
        self._house.manage("seed_users", "--count", str(USERS), "--password", _PASSWORD)
        hashes = [hashlib.sha256(token.encode()).hexdigest() for token in _TOKENS]
        with psycopg.connect(self._house.database_url) as connection:
            connection.execute(_SESSIONS, [hashes])

    def u2(self) -> Result:
        """VALIDATE and LOGIN over 64 connections, closed loop."""
        validate = self._lines("validate", [{"Token": token} for token in _TOKENS])
        login = self._lines(
            "login",
            [{"Username": f"seed-{n}", "Password": _PASSWORD} for n in range(LOGIN_USERS)],
        )
        series = [Series("line echo"), Series("VALIDATE"), Series("LOGIN"), Series("one process")]
        with _line_echo() as echo, self._packets() as ours, self._packets(processes=1) as alone:
            rounds = list(
                zip((echo, ours, ours, alone), (validate, validate, login, validate), strict=True)
            )
            for _ in range(self._effort.rounds):
                for each, (server, lines) in zip(series, rounds, strict=True):
                    self._warm_up(server, lines)
                    self._measure(server, lines, each)
        targets = [
            Target("VALIDATE, of line echo", ratio(series[1], series[0]), at_least=0.7),
            Target("LOGIN, of line echo", ratio(series[2], series[0]), at_least=0.7),
            Target("VALIDATE, of one process", ratio(series[1], series[3])),
        ]
        return Result("U2", f"packets, {CONNECTIONS} connections", series, targets, {})

    def _packets(self, *, processes: int = WORKERS) -> Server:
        port = free_port()
        environment = {
            **self._house.environment(self._directory / f"packets-{port}"),
            "PACKETS_PORT": str(port),
            "WEB_CONCURRENCY": str(processes),
        }
        command = [PYTHON, "manage.py", "serve_packets"]
        return Server("packets", command, port=port, environment=environment)

    def _warm_up(self, server: Server, lines: Path) -> None:
        """Not counted: what memory has forgotten meanwhile is hashed or looked up."""
        for _ in range(_WARM_UP_RUNS_MOST):
            if self._run(server, lines, 1.0).p99_ms < _WARM_MS:
                break

    def _measure(self, server: Server, lines: Path, series: Series) -> None:
        before_s = server.cpu_s()
        load = self._run(server, lines, self._effort.duration_s)
        series.cpu_us.append((server.cpu_s() - before_s) / max(load.requests, 1) * 1e6)
        series.loads.append(load)

    def _run(self, server: Server, lines: Path, duration_s: float) -> Load:
        words = [server.port, CONNECTIONS, duration_s, lines]
        report = subprocess.run(
            [self._lines_program, *map(str, words)], capture_output=True, text=True, check=True
        ).stdout
        return parse_lines_report(report)

    @cached_property
    def _lines_program(self) -> str:
        """`lines.c`, compiled."""
        path = self._directory / "lines"
        source = ROOT / "benchmarks" / "lines.c"
        subprocess.run([program("cc"), "-O2", "-o", str(path), str(source)], check=True)
        return str(path)

    def _lines(self, name: str, users: Iterable[dict[str, str]]) -> Path:
        path = self._directory / f"{name}.lines"
        packets = ({"Format": name.upper(), "User": user} for user in users)
        path.write_text("".join(json.dumps(packet) + "\n" for packet in packets))
        return path


def parse_lines_report(report: str) -> Load:
    """A `Load` from what `lines` prints."""
    said = json.loads(report)
    return Load(
        requests=said["answers"],
        requests_per_s=said["answers"] / said["seconds"],
        p50_ms=said["p50_us"] / 1000,
        p99_ms=said["p99_us"] / 1000,
        errors=said["errors"],
    )


def _line_echo() -> Server:
    port = free_port()
    # As long as an answer to VALIDATE; the load generator takes a line that begins so for a yes.
    user = {"Username": "seed-123", "Nickname": "seed-123", "URL": ""}
    line = "=" + json.dumps({"Success": True, "User": user, "Err": ""}, separators=(",", ":"))[1:]
    command: Sequence[str] = [PYTHON, "-m", "benchmarks.line_echo", str(port), str(WORKERS), line]
    return Server("line echo", list(command), port=port, environment=dict(os.environ))
