"""Each of our services: its command, started and stopped on this machine under its variables."""

import json
import os
import signal
import subprocess

import psutil
import pytest

from devstack import postgres, redis
from devstack.ports import LOOPBACK, free_port
from devstack.programs import Child, Program
from tests.deploy import compose
from tests.support.stores import Stores

pytestmark = pytest.mark.xdist_group("deploy")

STOP_TIMEOUT_S = 30.0
SERVING = sorted(set(compose.OURS) - {"migrate"})


@pytest.mark.parametrize("name", SERVING)
def test_starts_turns_healthy_and_ends_in_good_order(deployment, tree, name):
    before = set(tree.rglob("*"))
    with deployment.running(name) as child:
        family = psutil.Process(child.pid).children(recursive=True)
        child.send(signal.SIGTERM)
        assert child.wait_ended(STOP_TIMEOUT_S), child.log_tail()
        assert child.ending() == "exit code 0", child.log_tail()
    for line in child.log.read_text().splitlines():
        if line in ("", "worker: Warm shutdown (MainProcess)"):
            continue  # Celery writes these from its signal handler, where logging is not safe
        assert {"event", "level", "timestamp"} <= set(json.loads(line)), line
    assert not [process for process in family if process.is_running()]
    assert set(tree.rglob("*")) == before, "the container's file system is read-only"
    assert deployment.refusal(name) is not None, "the health check sees that it is gone"


def test_migrating_again_changes_nothing(deployment):
    again = deployment.run("migrate")
    assert again.returncode == 0, again.stderr
    assert "No migrations to apply" in again.stdout


def test_a_web_pool_without_its_secret_does_not_start(deployment, tree):
    result = subprocess.run(
        ["gunicorn", "-c", "config/gunicorn_api.py", "config.asgi:application"],
        cwd=tree,
        env=deployment.environment("api") | {"SECRET_KEY": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode != 0
    assert "SECRET_KEY must be set" in result.stderr


def test_redis_takes_its_flags_and_its_health_check(tmp_path):
    service = compose.load()["services"]["redis"]
    port = free_port()
    # The container has a network of its own; here the port is free and the client is told of it.
    client = tmp_path / "redis-cli"
    client.write_text(f'#!/bin/sh\nexec {redis.binary().with_name("redis-cli")} -p {port} "$@"\n')
    client.chmod(0o700)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", **service["environment"]}

    def ask(command: str) -> str:
        result = subprocess.run(
            ["sh", "-c", command], env=environment, capture_output=True, text=True, check=False
        )
        return result.stdout if result.returncode == 0 else ""

    kind, check = service["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    options = ["--port", str(port), "--bind", LOOPBACK, "--dir", str(tmp_path)]
    program = Program(
        name="redis",
        command=[str(redis.binary()), *service["command"][1:], *options],
        refusal=lambda: None if ask(f"{check} && echo healthy") else "not healthy",
    )
    child = Child(program, log_directory=tmp_path)
    child.start()
    try:
        child.wait_ready(STOP_TIMEOUT_S)
        for setting, value in (
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("maxmemory-policy", "noeviction"),
        ):
            assert ask(f"redis-cli config get {setting}").split() == [setting, value]
        assert (tmp_path / "appendonly.aof").exists()
        del environment["REDISCLI_AUTH"]
        assert not ask(f"{check} && echo healthy"), "nobody gets in without the password"
    finally:
        child.kill()


def test_postgres_takes_its_health_check():
    service = compose.load()["services"]["postgres"]
    kind, program, *options = service["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "pg_isready")
    with Stores(durable=False) as stores:
        command = [str(postgres.binaries() / program), *options]
        environment = os.environ | {"PGPORT": str(stores.postgres.port)}
        assert subprocess.run(command, env=environment, check=False).returncode == 0
        stores.stop_one("postgres")
        assert subprocess.run(command, env=environment, check=False).returncode == 2
