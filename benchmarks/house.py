"""Our own pools on throw-away stores: what the ads benchmarks measure."""

import json
import os
import random
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.servers import GUNICORN, PYTHON, ROOT, WORKERS, Server
from devstack.ports import free_port
from tests.support.stores import Stores

READY_TIMEOUT_S = 300.0
_SETTINGS = "config.settings.local"


class Catalog:
    """One database with `count` active ads, the same ones in every run."""

    def __init__(self, stores: Stores, directory: Path, *, count: int) -> None:
        self.count = count
        self._token = ""
        self.directory = directory / f"ads-{count}"
        self.database_url = _new_database(
            stores.database_url, f"ads_{directory.name.lower()}_{count}"
        )
        self.redis_url = stores.redis_url
        self.manage("migrate", "--verbosity", "0")
        self.manage("seed_ads", "--count", str(count))

    def environment(self, directory: Path) -> dict[str, str]:
        """What a process of ours needs to work on this catalog."""
        return {
            "DJANGO_SETTINGS_MODULE": _SETTINGS,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "DATA_DIR": str(directory),
            "LOG_LEVEL": "WARNING",
        }

    def manage(self, *arguments: str) -> None:
        """Run `manage.py ARGUMENTS` on this catalog's database."""
        environment = {**os.environ, **self.environment(self.directory)}
        command = [PYTHON, "manage.py", *arguments]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)

    def operator_token(self) -> str:
        """The API token of an operator, who is made if there is none."""
        if not self._token:
            self.manage(
                "createsuperuser", "--noinput", "--username", "operator", "--email", "a@b.example"
            )
            self._token = secrets.token_hex(20)
            with psycopg.connect(self.database_url, autocommit=True) as connection:
                connection.execute(
                    "INSERT INTO authtoken_token (key, created, user_id)"
                    " SELECT %s, now(), id FROM accounts_user WHERE username = 'operator'",
                    (self._token,),
                )
        return self._token

    def ad_ids(self) -> list[str]:
        """The ids of up to a thousand of its ads."""
        with psycopg.connect(self.database_url) as connection:
            rows = connection.execute("SELECT id::text FROM adserver_ad ORDER BY id LIMIT 1000")
            return [ad_id for (ad_id,) in rows]

    def api(self, *, workers: int = WORKERS) -> Server:
        """The api pool on this catalog."""
        return self._pool("api", "PORT", "config.asgi:application", workers)

    def edge(self, *, workers: int = WORKERS) -> Server:
        """The edge pool on this catalog."""
        return self._pool("edge", "EDGE_PORT", "config.asgi_edge:application", workers)

    def _pool(self, pool: str, port_name: str, application: str, workers: int) -> Server:
        port = free_port()
        environment = {
            **self.environment(self.directory / f"{pool}-{port}"),
            port_name: str(port),
            "WEB_CONCURRENCY": str(workers),
        }
        command = [GUNICORN, "-c", f"config/gunicorn_{pool}.py", application]
        name = f"{pool}, {self.count} ads" + ("" if workers == WORKERS else f", {workers} worker")
        return Server(name, command, port=port, environment=environment)


def _new_database(url: str, name: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return f"{url.rpartition('/')[0]}/{name}"


def readiness(server: Server) -> dict[str, Any] | None:
    """What `/readyz` says, or None while it is not 200."""
    try:
        with urllib.request.urlopen(f"{server.url}/readyz", timeout=5) as answer:
            return dict(json.load(answer))
    except (urllib.error.URLError, OSError):
        return None


def wait_ready(server: Server, *, workers: int = WORKERS) -> float:
    """Seconds until `/readyz` is 200 and shows all workers warm. TimeoutError if never."""
    started_s = time.monotonic()
    while time.monotonic() - started_s < READY_TIMEOUT_S:
        state = readiness(server)
        warm = [each for each in state["workers"] if each["version"]] if state else []
        if len(warm) >= workers:
            return time.monotonic() - started_s
        time.sleep(0.02)
    raise TimeoutError(f"{server.name} is not ready after {READY_TIMEOUT_S} s")


@contextmanager
def running(server: Server, *, workers: int = WORKERS) -> Iterator[Server]:
    """The pool, started and ready."""
    with server:
        wait_ready(server, workers=workers)
        yield server


def mean_body_bytes(server: Server, *, count: int = 1000) -> int:
    """The mean size of the answers to the mix."""
    chooser = random.Random(1)
    return round(mean(len(_get(server, chooser)) for _ in range(count)))


def _get(server: Server, chooser: random.Random) -> bytes:
    path = (
        f"/api/v1/ad?age={chooser.randint(1, 100)}"
        f"&country={chooser.choice(('TW', 'JP', 'US', 'HK', 'KR', 'DE'))}"
        f"&gender={chooser.choice('MF')}"
        f"&platform={chooser.choice(('android', 'ios', 'web'))}"
        f"&offset={chooser.randint(0, 9)}&limit={chooser.choice((5, 10, 15))}"
    )
    with urllib.request.urlopen(server.url + path, timeout=5) as answer:
        return bytes(answer.read())
