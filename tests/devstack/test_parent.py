"""A SIGINT that only make was sent is heard by what it runs."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

from devstack.parent import Parent
from devstack.programs import ROOT
from tests.support.stack import wait_until

CHILD = """
import time
from devstack.parent import Parent
parent, give_up_s = Parent(), time.monotonic() + 60
print("runs", flush=True)
while not parent.was_interrupted() and time.monotonic() < give_up_s:
    time.sleep(0.01)
print("heard" if parent.was_interrupted() else "nothing", flush=True)
"""


def listen_to_sigint() -> None:
    """What is started in the background of a script ignores it from its birth."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def make(tmp_path, child=CHILD) -> "subprocess.Popen[str]":
    (tmp_path / "child.py").write_text(child)
    (tmp_path / "Makefile").write_text(f"run:\n\t@{sys.executable} {tmp_path / 'child.py'}\n")
    # The suite itself may have been started by make, which a make below it would tell of.
    environment = {
        name: os.environ[name] for name in os.environ if not name.startswith(("MAKE", "MFLAGS"))
    }
    return subprocess.Popen(
        ["make", "-f", str(tmp_path / "Makefile")],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        preexec_fn=listen_to_sigint,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_sigint_to_make_alone_is_heard(tmp_path):
    with make(tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "heard\n"
        assert process.wait(60) == -signal.SIGINT


def test_sigint_before_the_child_looks_is_heard(tmp_path):
    with make(tmp_path, f"input()\n{CHILD}") as process:
        assert process.stdout is not None
        wait_until(partial(has_child, process.pid), timeout_s=60, what="make runs it")
        process.send_signal(signal.SIGINT)
        wait_until(Parent(process.pid).was_interrupted, timeout_s=60, what="make has heard it")
        output, _ = process.communicate("\n", timeout=60)
        assert output == "runs\nheard\n"
        assert process.wait(60) == -signal.SIGINT


def has_child(pid: int) -> bool:
    return bool(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def test_another_parent_interrupts_nobody():
    code = (
        "import signal, time; signal.pthread_sigmask(0, [2]); print(1, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        parent = Parent(process.pid)
        assert process.stdout is not None
        process.stdout.readline()
        assert not parent.was_interrupted()
        process.kill()
    wait_until(lambda: process.poll() is not None, timeout_s=60, what="its end")
    assert not parent.was_interrupted()
