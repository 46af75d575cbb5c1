"""Metrics of processes that share no directory, told by one of them."""

import os
import subprocess
import sys

from prometheus_client.parser import text_string_to_metric_families

from config.env import BASE_DIR

COUNT = """
from pathlib import Path
import sys
from runtime.metrics import new_counter, render_metrics, worker_gauge
new_counter("probes", "Probes.").inc(int(sys.argv[1]))
worker_gauge("probe_depth", "Depth.").set(int(sys.argv[1]))
print(render_metrics(beside=map(Path, sys.argv[2:])).decode())
"""


def run(directory, count, *beside):
    directory.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", COUNT, str(count), *map(str, beside)],
        cwd=BASE_DIR,
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)},
        capture_output=True,
        text=True,
        check=True,
    )
    families = {each.name: each for each in text_string_to_metric_families(done.stdout)}
    return [[sample.value for sample in families[n].samples] for n in ("probes", "probe_depth")]


def test_counts_are_summed_over_directories_and_gauges_stay_apart(tmp_path):
    assert run(tmp_path / "packets", 3) == [[3.0], [3.0]]
    counted, gauges = run(tmp_path / "api", 4, tmp_path / "packets", tmp_path / "missing")
    assert counted == [7.0]
    assert sorted(gauges) == [3.0, 4.0]
