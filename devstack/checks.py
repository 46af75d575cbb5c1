"""`make lint`: everything about the code that can be told without running it."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from devstack.postgres import Postgres
from devstack.programs import ROOT, Child

OUR_APPS = ("accounts", "adserver", "counters", "timeseries")
_START_TIMEOUT_S = 60.0
_STOP_GRACE_S = 5.0


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]


def _manage(*arguments: str) -> list[str]:
    return [sys.executable, "manage.py", *arguments]


def commands() -> dict[str, list[str]]:
    """Each check by name, in the order in which they are run: quick ones first."""
    checks = {
        "format": _module("ruff", "format", "--check", "."),
        "lint": _module("ruff", "check", "."),
        "layers": [str(Path(sys.executable).parent / "lint-imports")],
        "migrations exist": _manage("makemigrations", "--check", "--dry-run"),
        "migrations are safe": _manage("lintmigrations", "--include-apps", *OUR_APPS),
        "types": _module("mypy", "."),
    }
    if any((ROOT / "templates").rglob("*.html")):
        checks["templates"] = _module("djlint", "templates", "--lint", "--quiet")
    return checks


def lint() -> int:
    """Run every check, show what the failing ones say; gives 1 when any failed."""
    failed = []
    with tempfile.TemporaryDirectory(prefix="adhouse-lint-") as directory:
        # Django asks a database, if only an empty one, before it speaks about migrations.
        postgres = Postgres(Path(directory) / "postgres", logs=Path(directory), durable=False)
        postgres.prepare()
        server = Child(postgres.program(), log_directory=Path(directory))
        server.start()
        try:
            server.wait_ready(_START_TIMEOUT_S)
            environment = {
                **os.environ,
                "DATABASE_URL": postgres.url,
                "DATA_DIR": directory,
                "DJANGO_SETTINGS_MODULE": "config.settings.test",
            }
            for name, command in commands().items():
                if not _passes(name, command, environment):
                    failed.append(name)
        finally:
            server.stop(_STOP_GRACE_S)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


def _passes(name: str, command: list[str], environment: dict[str, str]) -> bool:
    began_s = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    verdict = "ok" if done.returncode == 0 else "FAILED"
    print(f"{name:<20} {verdict} ({time.monotonic() - began_s:.1f} s)", flush=True)
    if done.returncode != 0:
        print(done.stdout + done.stderr, flush=True)
    return done.returncode == 0
