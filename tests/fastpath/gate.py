"""Stands for all that makes a worker slow to start: the test opens the gate when it likes."""

import os
import time
from pathlib import Path


def wait_at_gate(run_dir: Path) -> None:
    (run_dir / f"at-gate-{os.getpid()}").touch()
    while not (run_dir / "gate").exists():
        time.sleep(0.01)
