"""The embedded stores: what they accepted survives a kill, a stale pid file stops nobody."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
import redis

from config import env
from devstack.errors import StackError
from devstack.postgres import Postgres, server_account
from devstack.programs import LAUNCHER, ROOT, Account, Child
from tests.support.stack import alive, wait_until
from tests.support.stores import START_TIMEOUT_S, Stores


def test_both_stores_keep_what_they_accepted_over_kill_9(stores):
    with psycopg.connect(stores.database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS value")
    with redis.Redis.from_url(stores.redis_url) as client:
        client.set("kept", "1")
    urls = stores.database_url, stores.redis_url
    for name in ("postgres", "redis"):
        stores.kill(name)
        stores.start_one(name)
    assert (stores.database_url, stores.redis_url) == urls
    with psycopg.connect(stores.database_url) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (1,)
    with redis.Redis.from_url(stores.redis_url) as client:
        assert client.get("kept") == b"1"


def test_the_stores_are_durable_and_private(stores):
    with psycopg.connect(stores.database_url) as connection:
        settings: dict[str, str] = dict(
            connection.execute(
                "SELECT name, setting FROM pg_settings WHERE name IN"
                " ('fsync', 'synchronous_commit', 'full_page_writes', 'listen_addresses')"
            ).fetchall()
        )
        encoding = connection.execute("SHOW server_encoding").fetchone()
    assert settings == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "127.0.0.1",
    }
    assert encoding == ("UTF8",)
    with redis.Redis.from_url(stores.redis_url) as client:
        assert client.config_get("append*")["appendonly"] == "yes"
        assert client.config_get("append*")["appendfsync"] == "always"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
    for secret in ("postgres/password", "redis/password", "redis/redis.conf"):
        assert stat.S_IMODE((stores.directory / secret).stat().st_mode) == 0o600


def test_a_wrong_password_is_refused(stores):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(stores.database_url.replace("adhouse:", "adhouse:not"))
    with redis.Redis(port=stores.redis.port) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


@pytest.mark.parametrize("content", ["{pid}\n/somewhere\n", "", "not a number"])
def test_a_stale_pid_file_stops_nobody(stores, content):
    stores.kill("postgres")
    # The number of a living process that is no PostgreSQL, as after a power cut: this one's.
    pid_file = stores.postgres.data / "postmaster.pid"
    pid_file.write_text(content.format(pid=os.getpid()))
    stores.start_one("postgres")
    assert stores.postgres.refusal() is None


def test_a_pid_file_that_names_a_postgresql_is_left_to_postgresql(stores):
    pid_file = stores.postgres.data / "postmaster.pid"
    before = pid_file.read_text()
    stores.postgres.remove_stale_pid_file()
    assert pid_file.read_text() == before


def test_a_cluster_torn_while_it_was_made_is_made_again(tmp_path):
    torn = tmp_path / "postgres" / "data.unfinished"
    torn.mkdir(parents=True)
    (torn / "PG_VERSION").write_text("18\n")
    server = Postgres(tmp_path / "postgres", logs=tmp_path / "logs", durable=False)
    server.prepare()
    child = Child(server.program(), log_directory=tmp_path / "logs")
    child.start()
    try:
        child.wait_ready(START_TIMEOUT_S)
    finally:
        child.stop(5)


@pytest.mark.parametrize(("workers", "connections"), [(1, 200), (4, 200), (32, 744)])
def test_there_is_room_for_the_connections_of_all_workers(tmp_path, workers, connections):
    server = Postgres(tmp_path, logs=tmp_path, workers=workers)
    assert f"max_connections={connections}" in server.program().command
    least = env.value("DATABASE_POOL_SIZE") * 2 + env.value("TIMESERIES_READERS") + 2
    assert connections >= workers * least


def test_a_server_that_cannot_start_says_why(tmp_path):
    server = Postgres(tmp_path / "postgres", logs=tmp_path / "logs", durable=False)
    server.prepare()
    (server.data / "PG_VERSION").write_text("9\n")
    child = Child(server.program(), log_directory=tmp_path / "logs")
    child.start()
    try:
        with pytest.raises(StackError, match=r"exit code 1(?s:.*)incompatible with server"):
            child.wait_ready(START_TIMEOUT_S)
    finally:
        child.stop(5)


def test_whom_the_server_runs_as(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(StackError, match="belongs to another user"):
        server_account(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    account = server_account(tmp_path / "new")
    assert isinstance(account, Account)
    assert account.uid != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user already is one")
def test_an_ordinary_user_needs_no_rights():
    """The same servers, started by a user without any privilege."""
    with tempfile.TemporaryDirectory(prefix="adhouse-ordinary-") as directory:
        os.chown(directory, 65534, 65534)
        script = (
            f"import sys; sys.path[:] = {[str(ROOT), *sys.path]!r}\n"
            "from pathlib import Path\n"
            "from devstack.postgres import Postgres\n"
            "from devstack.programs import Child\n"
            f"base = Path({directory!r})\n"
            "server = Postgres(base / 'postgres', logs=base, durable=False)\n"
            "server.prepare()\n"
            "child = Child(server.program(), log_directory=base)\n"
            "child.start(); child.wait_ready(60); child.stop(5)\n"
            "print('served')"
        )
        done = subprocess.run(
            [*_as_nobody(), sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=False,
            cwd=directory,
        )
    assert done.stdout == "served\n", done.stderr


def _as_nobody() -> list[str]:
    """Keeps only the right to read, for installations below a private home."""
    return [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), "9", "65534:65534"]


def test_a_killed_owner_leaves_no_server(tmp_path):
    script = (
        "from tests.support.stores import Stores\n"
        "import time\n"
        "stores = Stores(durable=False); stores.start()\n"
        "print(stores.directory, stores.pid('postgres'), stores.pid('redis'), flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        directory, *pids = process.stdout.readline().split()
        process.kill()
    wait_until(
        lambda: not any(alive(int(pid)) for pid in pids),
        timeout_s=60,
        what="the servers gone with their owner",
    )
    wait_until(
        lambda: not (Path(directory) / "postgres/data/postmaster.pid").exists(),
        timeout_s=60,
        what="PostgreSQL shut down in good order",
    )


def test_a_paused_store_answers_again_after_it_resumes(stores: Stores):
    stores.pause("redis")
    with (
        redis.Redis.from_url(stores.redis_url, socket_timeout=0.2, retry=None) as client,
        pytest.raises(redis.TimeoutError),
    ):
        client.ping()
    stores.resume("redis")
    assert stores.redis.refusal() is None
