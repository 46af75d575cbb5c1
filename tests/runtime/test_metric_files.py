"""The files of processes that are gone become one: nothing they counted is lost or doubled."""

import fcntl
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from config.env import BASE_DIR
from runtime import metric_files
from runtime.metric_files import MetricFiles, fold

WORK = """
import os, sys
from runtime.metrics import new_counter, new_histogram, worker_gauge
new_counter("probes", "Probes.", ("kind",)).labels(sys.argv[1]).inc(int(sys.argv[2]))
new_histogram("probe_seconds", "Time.", bounds=(0.1, 1)).observe(0.5)
worker_gauge("probe_depth", "Depth.").set(7)
print(os.getpid())
"""


@pytest.fixture
def worked(tmp_path: Path) -> Callable[[str, int], int]:
    """Has a process count so much of a kind; its pid, once it is gone."""

    def work(kind: str, count: int) -> int:
        done = subprocess.run(
            [sys.executable, "-c", WORK, kind, str(count)],
            cwd=BASE_DIR,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout)

    return work


def told(directory: Path) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry()
    registry.register(MetricFiles([directory]))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.glob("*.db")}


def test_what_the_gone_have_counted_stays_in_one_file(tmp_path, worked) -> None:
    pids = [worked("a", 1), worked("b", 2), worked("a", 10)]
    before = told(tmp_path)
    assert before["probes_total", "a"] == 11
    assert before["probe_seconds_bucket", "1.0"] == 3
    for pid in pids:
        fold(pid, tmp_path)
    assert files(tmp_path) == {"counter_gone.db", "histogram_gone.db"}
    gauges = {name for name in before if name[0] == "probe_depth"}
    assert told(tmp_path) == {name: before[name] for name in before.keys() - gauges}
    fold(pids[0], tmp_path)
    worked("a", 100)
    assert told(tmp_path)["probes_total", "a"] == 111


def test_nothing_is_folded_while_it_is_read(tmp_path, worked, monkeypatch) -> None:
    pid = worked("a", 1)
    before = files(tmp_path)
    monkeypatch.setattr(metric_files, "_TRIES", 2)
    with (tmp_path / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        fold(pid, tmp_path)
        assert files(tmp_path) == before - {f"gauge_liveall_{pid}.db"}
        # Many may read at once.
        reader = threading.Thread(target=told, args=(tmp_path,))
        reader.start()
        reader.join(30)
        assert not reader.is_alive()
    fold(pid, tmp_path)
    assert told(tmp_path)["probes_total", "a"] == 1
    assert files(tmp_path) == {"counter_gone.db", "histogram_gone.db"}


def test_a_file_that_was_just_made_is_nothing(tmp_path, worked) -> None:
    pid = worked("a", 1)
    (tmp_path / f"summary_{pid}.db").touch()
    assert told(tmp_path)["probes_total", "a"] == 1
    fold(pid, tmp_path)
    assert files(tmp_path) == {"counter_gone.db", "histogram_gone.db"}


def test_a_file_that_cannot_be_read_is_put_aside(tmp_path, worked) -> None:
    pid = worked("a", 1)
    (tmp_path / f"histogram_{pid}.db").write_bytes(struct.pack("iii", 65_536, 0, 1 << 20))
    fold(pid, tmp_path)
    assert told(tmp_path) == {("probes_total", "a"): 1}
    assert (tmp_path / f"histogram_{pid}.bad").exists()


def test_a_total_that_cannot_be_read_costs_no_other_file(tmp_path, worked) -> None:
    (tmp_path / "counter_gone.db").write_bytes(struct.pack("iii", 65_536, 0, 1 << 20))
    fold(worked("a", 1), tmp_path)
    fold(worked("a", 2), tmp_path)
    assert told(tmp_path)["probes_total", "a"] == 3
    assert [each.name for each in tmp_path.glob("*.bad")] == ["counter_gone.bad"]


def test_the_master_of_a_pool_lives_on(tmp_path, worked, monkeypatch, caplog) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(metric_files, "_add", full)
    fold(worked("a", 1), tmp_path)
    assert "no space left" in caplog.text
