"""`make run` as users meet it: the whole product, what it refuses, and what it leaves."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from functools import partial
from pathlib import Path

import psycopg
import pytest

from devstack.data_directory import DataDirectory
from devstack.errors import StackError
from devstack.options import check_ports, read_options
from devstack.programs import ROOT
from tests.support.stack import Stack, alive, wait_until

RESTART_S = 10.0


def run_and_end(stack: Stack, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a stack that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "devstack", "run"],
        cwd=ROOT,
        env={**stack.environment, **changes},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def get(url: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.status, response.read()


class TestRunning:
    """On one stack, shared with every test that uses it."""

    def test_both_pools_answer(self, stack):
        for url in (stack.url, stack.edge_url):
            for path in ("/healthz", "/readyz", "/metrics", "/api/v1/ad"):
                assert get(url + path)[0] == 200
        assert f"ready {stack.url}\n" in stack.output

    def test_the_state_file_is_private_and_complete(self, stack):
        path = stack.data_directory / "stack.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert set(stack.state) == {"database_url", "redis_url", "processes"}
        ours = {"api", "edge", "packets", "worker", "writer", "beat"}
        assert set(stack.pids) == {"postgres", "redis"} | ours
        assert all(alive(pid) for pid in stack.pids.values())

    def test_the_operator_file_is_private(self, stack):
        path = stack.data_directory / "operator.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert set(stack.operator) == {"username", "password", "token"}

    def test_a_command_beside_it_finds_the_stores_without_any_variable_set(self, stack):
        done = stack.manage(
            "shell", "-v", "0", "-c", "from adserver.models import Ad; Ad.objects.first()"
        )
        assert done.returncode == 0, done.stderr
        assert "DATABASE_URL" not in stack.environment

    @pytest.mark.parametrize(
        "name", ["beat", "writer", "worker", "packets", "edge", "api", "redis", "postgres"]
    )
    def test_a_killed_process_runs_again_and_the_others_bear_it(self, stack, name):
        before = stack.pids
        urls = stack.state["database_url"], stack.state["redis_url"]
        os.kill(before[name], signal.SIGKILL)
        wait_until(
            lambda: stack.pids.get(name, before[name]) != before[name],
            timeout_s=RESTART_S,
            what=f"{name} started again",
        )
        after = stack.pids
        assert {other: pid for other, pid in after.items() if other != name} == {
            other: pid for other, pid in before.items() if other != name
        }
        assert (stack.state["database_url"], stack.state["redis_url"]) == urls
        for url in (stack.url, stack.edge_url):
            wait_until(partial(serves, url), timeout_s=30, what=f"{url} ready again")
        # The pages bear a database that is away for a moment; the next test's commands need it.
        wait_until(partial(answers, urls[0]), timeout_s=30, what="a database that answers")

    def test_a_second_one_on_the_same_data_is_refused(self, stack):
        done = run_and_end(stack)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert f"is in use by another stack (process {stack.pid})" in done.stderr
        assert serves(stack.url), "the first one must not notice"


def answers(database_url: str) -> bool:
    try:
        psycopg.connect(database_url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def serves(url: str) -> bool:
    try:
        return get(url + "/readyz")[0] == 200
    except OSError:
        return False


class TestRefused:
    """One clear line, exit code 1, nothing left running."""

    @pytest.fixture
    def planned(self, tmp_path):
        """A stack that was never started."""
        stack = Stack()
        stack.data_directory.rmdir()
        stack.data_directory = tmp_path / "data"
        yield stack
        assert stack.processes() == []
        assert not (stack.data_directory / "stack.json").exists()

    @pytest.mark.parametrize("variable", ["PORT", "EDGE_PORT", "PACKETS_PORT"])
    def test_a_port_in_use(self, planned, variable):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = run_and_end(planned, **{variable: str(port)})
        assert done.returncode == 1
        assert done.stderr == (
            f"port {port} is in use by another program; stop it, or set {variable}\n"
        )

    def test_a_data_directory_that_cannot_be(self, planned, tmp_path):
        (tmp_path / "file").write_text("")
        done = run_and_end(planned, DATA_DIR=str(tmp_path / "file" / "data"))
        assert done.returncode == 1
        assert done.stderr == (
            f"DATA_DIR {tmp_path / 'file' / 'data'} cannot be used: Not a directory\n"
        )

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a read-only directory")
    def test_a_data_directory_that_cannot_be_written(self, planned):
        done = run_and_end(planned, DATA_DIR="/proc/adhouse")
        assert done.returncode == 1
        assert done.stderr.startswith("DATA_DIR /proc/adhouse cannot be used: ")
        assert done.stderr.count("\n") == 1

    @pytest.mark.parametrize(
        ("variable", "value", "word"),
        [
            ("PORT", "http", "PORT must be a whole number from 1 to 65535, not http"),
            ("PORT", "70000", "PORT must be a whole number from 1 to 65535, not 70000"),
            ("EDGE_PORT", "0", "EDGE_PORT must be a whole number from 1 to 65535, not 0"),
            ("WEB_CONCURRENCY", "0", "WEB_CONCURRENCY must be a whole number, 1 or more, not 0"),
            ("DATABASE_POOL_SIZE", "1_0", "DATABASE_POOL_SIZE must be a whole number, 1 or more"),
            ("ACCOUNT_LOCKOUT_FAILURES", "-1", "must be a whole number, 1 or more, not -1"),
            ("ACCOUNT_HASHING_WAITING", "-1", "must be a whole number, 0 or more, not -1"),
            ("EXPIRY_INTERVAL_S", "abc", "EXPIRY_INTERVAL_S must be a number, 0.01 or more"),
            ("EXPIRY_INTERVAL_S", "5 minutes", "0.01 or more, not 5 minutes"),
            ("INGEST_DEADLINE_S", "1e999", "0.01 or more, not 1e999"),
            ("INGEST_DEADLINE_S", "500ms", "0.01 or more, not 500ms"),
            ("INGEST_RATE_PER_KEY", "1,000", "a number from 0 to 1000000, not 1,000"),
            ("CATALOG_POLL_S", "6", "CATALOG_POLL_S must be a number from 0.01 to 2, not 6"),
            ("INGEST_DEADLINE_S", "nan", "INGEST_DEADLINE_S must be a number, 0.01 or more"),
            ("DATABASE_ANSWER_TIMEOUT_S", "inf", "must be a number, 0.01 or more, not inf"),
            ("DEBUG", "maybe", "DEBUG must be true or false, not maybe"),
            ("TIMESERIES_STORE", "foo", "TIMESERIES_STORE must be one of postgres, kdb, not foo"),
            ("LOG_LEVEL", "loud", "LOG_LEVEL must be one of DEBUG, INFO"),
            ("LOG_FORMAT", "foo", "LOG_FORMAT must be one of json, console, not foo"),
            ("TIME_ZONE", "Mars/X", "TIME_ZONE must be a time zone such as Europe/Berlin"),
            ("CSRF_TRUSTED_ORIGINS", "ads.example.com", "must be origins such as https://ads"),
            ("TRUSTED_PROXIES", "10.0.0.0/8,foo", "TRUSTED_PROXIES must be addresses or networks"),
            ("DATABASE_URL", "mysql://localhost/ads", "DATABASE_URL must begin with postgresql://"),
            ("REDIS_URL", "localhost:6379", "REDIS_URL must begin with redis://"),
            ("REDIS_URL", "redis+cluster://a:1,b:2", "CACHE_REDIS_URL must be set"),
            ("CACHE_REDIS_URL", "redis+cluster://a:1", "CACHE_REDIS_URL must begin with redis://"),
        ],
    )
    def test_a_variable_that_is_wrong(self, monkeypatch, variable, value, word):
        monkeypatch.setenv(variable, value)
        with pytest.raises(StackError, match=word):
            read_options()

    def test_all_that_is_wrong_is_said_at_once(self, monkeypatch):
        monkeypatch.setenv("PORT", "http")
        monkeypatch.setenv("TIME_ZONE", "Mars/X")
        with pytest.raises(StackError, match=r"PORT must .*; TIME_ZONE must "):
            read_options()

    def test_an_address_of_another_machine(self, monkeypatch):
        for host in ("nonsense", "192.0.2.1", "[2001:db8::1]"):
            monkeypatch.setenv("BIND_HOST", host)
            with pytest.raises(StackError, match="BIND_HOST must be an address of this machine"):
                check_ports(read_options())

    def test_two_processes_on_one_port(self, monkeypatch):
        monkeypatch.setenv("PORT", "8123")
        monkeypatch.setenv("PACKETS_PORT", "8123")
        with pytest.raises(StackError, match="PORT and PACKETS_PORT are both 8123"):
            read_options()

    @pytest.mark.parametrize(
        ("host", "word"), [("127.0.0.1", "Connection refused"), ("a..b", "cannot be used")]
    )
    def test_a_database_that_cannot_be_prepared(self, planned, host, word):
        # Not all that Django reads as a password is one for libpq.
        done = run_and_end(planned, DATABASE_URL=f"postgresql://u:p@ss@{host}:1/none")
        assert done.returncode == 1
        assert word in done.stderr
        assert "prepare failed" in done.stderr
        assert "CommandError: the database cannot be used" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (planned.data_directory / "postgres").exists(), "the named server was to be used"

    @pytest.mark.parametrize("variable", ["REDIS_URL", "CACHE_REDIS_URL"])
    def test_a_redis_that_does_not_answer(self, planned, variable):
        done = run_and_end(planned, **{variable: "redis://127.0.0.1:1/0"})
        assert done.returncode == 1
        assert done.stderr.startswith(f"{variable}: Redis cannot be used: ")
        assert done.stderr.count("\n") == 1


class TestLeaving:
    """What is left after a stop, a kill, and a start after either."""

    def test_a_stop_leaves_nothing_and_the_data_stays(self, stack):
        ad = json.loads(get(f"{stack.url}/api/v1/ad")[1])["ads"][0]
        urls, operator = stack.state, stack.operator
        assert len(stack.processes()) >= 7
        assert stack.stop(signal.SIGINT) == 0
        assert stack.processes() == []
        assert not (stack.data_directory / "stack.json").exists()
        assert "Traceback" not in "".join(stack.output)
        stack.start()
        assert ad in json.loads(get(f"{stack.edge_url}/api/v1/ad")[1])["ads"]
        assert stack.operator == operator
        assert stack.state["database_url"] == urls["database_url"]

    @pytest.mark.drill
    def test_a_kill_leaves_nothing_and_the_data_stays(self, stack):
        ad = json.loads(get(f"{stack.url}/api/v1/ad")[1])["ads"][0]
        stack.kill()
        wait_until(lambda: not stack.processes(), timeout_s=60, what="nothing left")
        stack.start()
        assert ad in json.loads(get(f"{stack.url}/api/v1/ad")[1])["ads"]


class TestDataDirectory:
    """The locks of DATA_DIR."""

    def test_it_waits_for_the_processes_of_a_killed_stack(self, tmp_path):
        words: list[str] = []
        with DataDirectory(tmp_path, say=words.append) as first:
            orphan = subprocess.Popen(
                [sys.executable, "-c", "input()"],
                stdin=subprocess.PIPE,
                pass_fds=[first.children_lock_fd],
            )

        def say(word: str) -> None:
            words.append(word)
            orphan.communicate(b"\n")

        with DataDirectory(tmp_path, say=say):
            assert orphan.poll() == 0
        assert words == ["waiting for the processes of an earlier, killed stack to end"]

    def test_what_a_killed_stack_left_is_removed(self, tmp_path):
        (tmp_path / "stack.json").write_text('{"processes": {"api": 1}}')
        (tmp_path / "lock").write_text("1\n")
        board = tmp_path / "run" / "workers" / f"api-{os.getpid()}.json"
        board.parent.mkdir(parents=True)
        board.write_text("{}")
        with DataDirectory(tmp_path, say=print):
            assert not (tmp_path / "stack.json").exists()
            assert list((tmp_path / "run").iterdir()) == []
