"""The commands and the tasks: what they do, what they say, and what they bear."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from config.celery import app
from counters import drain, tasks, totals
from counters.management.commands import increments_replay
from counters.models import DeadLetter
from counters.records import VALUE_MAX, Batch, Increment
from counters.totals import TotalsCache
from devstack.programs import ROOT
from runtime.stream import Stream
from tests.counters.support import A, B, Shard, execute, stored
from tests.support.stack import wait_until


@pytest.fixture(autouse=True)
def fresh_drains(server) -> Iterator[None]:
    """The drains that a process keeps, made anew for this test's database."""
    drain.shard_drain.cache_clear()
    yield
    for shard in range(settings.COUNTERS_SHARDS):
        drain.shard_drain(shard).close()
    drain.shard_drain.cache_clear()


def run(*arguments: str) -> tuple[str, str]:
    """What the command writes on stdout and stderr. CommandError when it fails."""
    out, err = io.StringIO(), io.StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def journal(path: Path, *increments: tuple[UUID, int]) -> str:
    path.write_text("".join(f'{{"key": "{key}", "value": {n}}}\n' for key, n in increments))
    return str(path)


# tasks


def test_the_task_drains_until_the_shard_is_empty(shard: Shard, monkeypatch) -> None:
    monkeypatch.setattr(drain, "_ENTRIES_MAX", 2)
    for _ in range(5):
        shard.append(Increment(A, 1))
    assert tasks.drain.delay(0).get() == 5
    assert tasks.drain.delay(0).get() == 0
    assert stored() == {A: 5}


def test_the_task_leaves_the_rest_to_the_next_run(shard: Shard, monkeypatch) -> None:
    monkeypatch.setattr(drain, "_ENTRIES_MAX", 2)
    monkeypatch.setattr(tasks, "DRAIN_MOST_S", -1.0)
    for _ in range(5):
        shard.append(Increment(A, 1))
    assert [tasks.drain.delay(0).get() for _ in range(4)] == [2, 2, 1, 0]


def test_a_store_that_is_away_costs_a_run_and_nothing_else(shard: Shard, monkeypatch) -> None:
    shard.append(Increment(A, 1))
    with monkeypatch.context() as patched:
        patched.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")
        drain.shard_drain.cache_clear()
        assert tasks.drain.delay(0).get() == 0
        nowhere = TotalsCache("redis://127.0.0.1:1/0")
        patched.setattr(tasks, "totals_cache", lambda: nowhere)
        assert tasks.reconcile.delay().get() == 0
        assert tasks.retain.delay().get() == []
    drain.shard_drain.cache_clear()
    assert tasks.drain.delay(0).get() == 1


def test_a_lost_connection_is_replaced_by_the_next_run(shard: Shard) -> None:
    shard.append(Increment(A, 1))
    assert tasks.drain.delay(0).get() == 1
    execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    shard.append(Increment(A, 1))
    assert tasks.drain.delay(0).get() == 0
    assert tasks.drain.delay(0).get() == 1
    assert stored() == {A: 2}


def test_beat_asks_for_all_of_it() -> None:
    app.loader.import_default_modules()
    entries = {
        entry["task"]: entry
        for entry in settings.CELERY_BEAT_SCHEDULE.values()
        if entry["task"].startswith("counters.")
    }
    assert set(entries) == {f"counters.tasks.{name}" for name in ("drain", "reconcile", "retain")}
    assert set(entries) <= set(app.tasks)
    drains = entries["counters.tasks.drain"]
    assert drains["schedule"] <= 1
    assert drains["options"]["expires"] <= drains["schedule"]


# drain_counters


def test_drain_counters_once(shard: Shard) -> None:
    shard.append(Increment(A, 1), Increment(B, 2))
    assert run("drain_counters", "--once") == ("2 increments counted\n", "")
    assert stored() == {A: 1, B: 2}
    with pytest.raises(CommandError, match="--shard: must be 0"):
        run("drain_counters", "--once", "--shard", "1")


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "inf", "soon"])
def test_no_interval(interval: str) -> None:
    with pytest.raises(CommandError, match="--interval"):
        run("drain_counters", "--interval", interval)


def test_drain_counters_goes_on_until_it_is_stopped(shard: Shard) -> None:
    parameters = connection.get_connection_params()
    url = (
        f"postgresql://{parameters['user']}:{parameters.get('password', '')}"
        f"@{parameters['host']}:{parameters['port']}/{parameters['dbname']}"
    )
    process = subprocess.Popen(
        [sys.executable, "manage.py", "drain_counters", "--interval", "0.05"],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": url,
            "REDIS_URL": settings.REDIS_URL,
            "DJANGO_SETTINGS_MODULE": "config.settings.local",
        },
    )
    try:
        for expected in ({A: 1}, {A: 2}):
            shard.append(Increment(A, 1))
            wait_until(lambda: stored() == expected, timeout_s=30, what="it is counted")  # noqa: B023
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


# reconcile_counters


def test_reconcile_counters_says_what_it_found(shard: Shard) -> None:
    shard.append(Increment(A, 1), Increment(B, 2))
    shard.run()
    epoch: Any = shard.server.get(totals.EPOCH_KEY)
    shard.server.set(totals.total_key(A.bytes), epoch + b":7")
    assert run("reconcile_counters")[0] == (
        "2 totals compared, 0 behind for now, 1 wrong and removed\n"
    )
    found = json.loads(run("reconcile_counters", "--json")[0])
    assert found == {"checked": 1, "delayed": 0, "different": 0}


# increments_replay


def test_increments_replay_counts_a_journal_once(shard: Shard, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("counters.management.commands.increments_replay.CHUNK", 2)
    file = journal(tmp_path / "journal", *[(A, 1)] * 3, (B, 10), (A, 5))
    out, err = run("increments_replay", file)
    assert out == "5 increments sent\n"
    assert err.splitlines() == [f"increments: {done} of 5" for done in (2, 4, 5)]
    run("increments_replay", file)
    shard.run()
    assert stored() == {A: 8, B: 10}


def test_increments_replay_checks_the_whole_file_first(shard: Shard, tmp_path) -> None:
    file = journal(tmp_path / "journal", (A, 1), (A, 0))
    with pytest.raises(CommandError, match="line 2: value: must be an integer from 1"):
        run("increments_replay", file)
    assert shard.drain.stream.length() == 0
    good = journal(tmp_path / "good", (A, 1))
    assert run("increments_replay", good, "--dry-run")[0] == (
        "1 increments are good, nothing was counted\n"
    )
    assert shard.drain.stream.length() == 0
    with pytest.raises(CommandError, match="No such file"):
        run("increments_replay", str(tmp_path / "nowhere"))
    with pytest.raises(CommandError, match="name a file, or say --dead-letters"):
        run("increments_replay")


def test_increments_replay_waits_for_room(shard: Shard, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(increments_replay, "CHUNK", 1)
    monkeypatch.setattr(settings, "STREAM_MAX_BYTES", 1)
    monkeypatch.setattr(Stream, "size_bytes", Stream.length)
    looks: list[float] = []

    def drained_meanwhile(seconds: float) -> None:
        looks.append(seconds)
        shard.run()

    monkeypatch.setattr(time, "sleep", drained_meanwhile)
    file = journal(tmp_path / "journal", *[(A, 1)] * 3)
    assert run("increments_replay", file)[0] == "3 increments sent\n"
    assert len(looks) == 2
    monkeypatch.setattr(increments_replay, "FULL_S", -1.0)
    with pytest.raises(CommandError, match="is the worker running"):
        run("increments_replay", journal(tmp_path / "another", (A, 1), (A, 2)))
    shard.run()
    assert stored() == {A: 3}


def test_increments_replay_counts_dead_letters(shard: Shard) -> None:
    shard.append(Increment(A, VALUE_MAX), Increment(B, VALUE_MAX), Increment(A, 3), Increment(B, 1))
    shard.run()
    assert run("increments_replay", "--dead-letters", "--dry-run")[0] == "2 dead letters are open\n"
    execute(f"UPDATE counters_counter SET value = 0 WHERE key = '{A}'")
    assert run("increments_replay", "--dead-letters")[0] == "1 dead letters counted, 1 left\n"
    assert stored() == {A: 3, B: VALUE_MAX}
    assert DeadLetter.objects.filter(replayed_by_label="increments_replay").count() == 1


# counters_export


def test_counters_export_writes_every_total(shard: Shard, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("counters.management.commands.counters_export._STEP", 2)
    keys = [UUID(int=number) for number in range(5)]
    shard.append(Batch.of([Increment(key, key.int + 1) for key in reversed(keys)]))
    shard.run()
    file = tmp_path / "totals.csv"
    out, err = run("counters_export", str(file))
    assert out == "5 counters exported\n"
    assert err.splitlines()[-1] == "counters: 4 of 5"
    header, *rows = file.read_text().splitlines()
    assert header == "key,value,updated_at"
    assert [row.split(",")[:2] for row in rows] == [[str(key), str(key.int + 1)] for key in keys]
    with pytest.raises(CommandError, match="No such file"):
        run("counters_export", str(tmp_path / "nowhere" / "file"))
