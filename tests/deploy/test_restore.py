"""Backup and restore with the very commands of docs/operations.md, under a running edge."""

import json
import os
import re
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from config import env
from devstack import postgres
from devstack.ports import LOOPBACK
from tests.deploy.containers import Deployment
from tests.support.stores import Stores

pytestmark = pytest.mark.xdist_group("deploy")

DOCUMENT = env.BASE_DIR / "docs/operations.md"
IN_CONTAINER = "docker compose exec -T postgres "
SEEN_TIMEOUT_S = 20.0


def _command(program: str) -> str:
    """The documented command line that runs `program` in the database's container."""
    text = DOCUMENT.read_text().replace("\\\n", " ")
    line: str
    (line,) = re.findall(rf"^    {IN_CONTAINER}(.*{program} .+)$", text, re.MULTILINE)
    return line


def _run(program: str, stores: Stores, directory: Path) -> None:
    connection = {
        "PGHOST": LOOPBACK,
        "PGPORT": str(stores.postgres.port),
        "PGPASSWORD": stores.database_url.split(":")[2].split("@")[0],
        "PATH": f"{postgres.binaries()}:{os.defpath}",
    }
    subprocess.run(["sh", "-c", _command(program)], cwd=directory, env=connection, check=True)


def _seen(port: int) -> tuple[int, str]:
    """Version and hash that the edge's only worker says it has."""
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/readyz", timeout=60) as answer:
        (worker,) = json.load(answer)["workers"]
    return worker["version"], worker["hash"]


def _wait_until_seen(port: int, expected: tuple[int, str]) -> None:
    give_up_s = time.monotonic() + SEEN_TIMEOUT_S
    while (seen := _seen(port)) != expected:
        assert time.monotonic() < give_up_s, f"the edge has {seen}, not {expected}"
        time.sleep(0.05)


def test_a_worker_follows_a_database_that_went_back(tree, tmp_path):
    with Stores() as stores:
        deployment = Deployment(tree=tree, stores=stores, directory=tmp_path)
        deployment.manage("migrate", "--noinput")
        port = deployment.ports["edge"]

        def stored() -> tuple[int, str]:
            state = json.loads(deployment.manage("catalog_hash", "--json"))
            return state["version"], state["hash"]

        deployment.manage("seed_ads", "--count", "20")
        before = stored()
        with deployment.running("edge"):
            _wait_until_seen(port, before)
            _run("pg_dump", stores, tmp_path)
            deployment.manage("seed_ads", "--count", "5")
            after = stored()
            assert after[0] == before[0] + 5
            _wait_until_seen(port, after)
            _run("pg_restore", stores, tmp_path)
            assert stored() == before
            _wait_until_seen(port, before)
