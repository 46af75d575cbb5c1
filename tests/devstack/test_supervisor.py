"""The supervisor over tiny processes: restart, backing off, stopping in order, leaving nothing."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest

from devstack.errors import StackError
from devstack.programs import ROOT, Child, Program
from devstack.supervisor import LONGEST_RESTART_DELAY_S, StopRequested, Supervisor, restart_delay_s
from tests.support.stack import alive, wait_until

SLEEP = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]
DIE = [sys.executable, "-I", "-S", "-c", "print('out of luck'); raise SystemExit(3)"]


class Table:
    """A supervisor whose reports and words are kept."""

    def __init__(self, logs: Path) -> None:
        self.reports: list[dict[str, int]] = []
        self.words: list[str] = []
        self.supervisor = Supervisor(
            logs=logs,
            say=self.words.append,
            on_change=lambda processes: self.reports.append(dict(processes)),
        )

    def step_until(self, condition, *, timeout_s=60.0):
        """Let the supervisor work until the condition holds."""

        def stepped():
            self.supervisor._step(0.02)
            return condition()

        wait_until(stepped, timeout_s=timeout_s, what="the supervisor's next move")


@pytest.fixture
def table(tmp_path):
    return Table(tmp_path)


def test_a_killed_process_runs_again_under_a_new_pid(table):
    with table.supervisor as supervisor:
        supervisor.start([Program(name="sleeper", command=SLEEP)])
        first = table.reports[-1]["sleeper"]
        os.kill(first, signal.SIGKILL)
        table.step_until(lambda: table.reports[-1].get("sleeper", first) != first, timeout_s=60.0)
        assert alive(table.reports[-1]["sleeper"])
        assert {} in table.reports, "a dead process must not stay in the report"
    assert any("sleeper died (killed by SIGKILL)" in word for word in table.words)


def test_a_process_left_behind_by_its_killed_master_is_killed_before_the_restart(table, tmp_path):
    pid_file = tmp_path / "left"
    master = (
        "import subprocess, sys, time, pathlib\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"path = pathlib.Path({str(pid_file)!r})\n"
        "path.exists() or path.write_text(str(left.pid))\n"
        "time.sleep(600)"
    )
    with table.supervisor as supervisor:
        supervisor.start([Program(name="master", command=[sys.executable, "-c", master])])
        wait_until(
            lambda: pid_file.exists() and pid_file.read_text(), timeout_s=60, what="the fork"
        )
        left = int(pid_file.read_text())
        assert alive(left)
        os.kill(table.reports[-1]["master"], signal.SIGKILL)
        table.step_until(lambda: any("runs again" in word for word in table.words))
        wait_until(lambda: not alive(left), timeout_s=60, what="the left process gone")


def test_delays_double_up_to_the_longest():
    delays = [restart_delay_s(deaths) for deaths in range(1, 17)]
    assert delays[:10] == pytest.approx([0.2, 0.4, 0.8, *[1.6] * 7]), "within 2 s"
    assert delays[10:] == pytest.approx([3.2, 6.4, 12.8, 25.6, 30.0, 30.0])
    assert restart_delay_s(10_000) == LONGEST_RESTART_DELAY_S


def test_what_cannot_be_started_is_given_up_with_the_end_of_its_log(table):
    program = Program(name="unlucky", command=DIE, refusal=lambda: "not yet")
    with table.supervisor as supervisor:
        supervisor.start([program])
        with pytest.raises(StackError, match="unlucky cannot be started"):
            supervisor.wait_ready()
    assert any("out of luck" in word for word in table.words)


def test_a_program_that_is_not_there_is_a_clear_word(table):
    program = Program(name="absent", command=["/does/not/exist"], refusal=lambda: "not yet")
    with table.supervisor as supervisor:
        supervisor.start([program])
        with pytest.raises(StackError, match="absent cannot be started"):
            supervisor.wait_ready()
    assert any("No such file or directory" in word for word in table.words)


def test_run_to_end_fails_with_the_output_of_what_failed(table):
    with table.supervisor as supervisor, pytest.raises(StackError, match="out of luck"):
        supervisor.run_to_end(Program(name="task", command=DIE))


def test_stages_stop_in_order(table, tmp_path):
    order = tmp_path / "order"

    def recorder(name):
        return [
            sys.executable,
            "-c",
            "import signal, sys, time\n"
            "def stop(*_):\n"
            f"    open({str(order)!r}, 'a').write({name!r} + '\\n'); sys.exit()\n"
            "signal.signal(signal.SIGTERM, stop)\n"
            "print('armed', flush=True); time.sleep(600)",
        ]

    def armed(name):
        return "armed" in (tmp_path / f"{name}.log").read_text()

    names = {"store": 2, "web": 0, "worker": 1}
    with table.supervisor as supervisor:
        supervisor.start(
            Program(name=name, command=recorder(name), stop_stage=stage)
            for name, stage in names.items()
        )
        for name in names:
            wait_until(partial(armed, name), timeout_s=60, what=name)
    assert order.read_text().split() == ["web", "worker", "store"]


def test_a_process_that_ignores_the_stop_is_killed_with_its_group(tmp_path):
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)\n"
    child = Child(
        Program(name="deaf", command=[sys.executable, "-c", deaf + "time.sleep(600)"]),
        log_directory=tmp_path,
    )
    child.start()
    pid = child.pid
    wait_until(lambda: child.log.read_text(), timeout_s=60, what="the process deaf")
    child.stop(grace_s=0.1)
    assert not alive(pid)


def test_a_wish_to_stop_ends_every_wait(table):
    with table.supervisor as supervisor:
        supervisor.start([Program(name="slow", command=SLEEP, refusal=lambda: "never")])
        pid = table.reports[-1]["slow"]
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(StopRequested):
            supervisor.wait_ready()
    assert not alive(pid)


def test_a_killed_supervisor_leaves_nothing(tmp_path):
    script = textwrap.dedent(
        f"""
        import json, sys
        from pathlib import Path
        from devstack.programs import Program
        from devstack.supervisor import Supervisor

        report = lambda pids: print(json.dumps(dict(pids)), flush=True)
        with Supervisor(logs=Path({str(tmp_path)!r}), say=print, on_change=report) as supervisor:
            supervisor.start(Program(name=name, command={SLEEP!r}) for name in ("one", "two"))
            supervisor.watch()
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pids = json.loads(process.stdout.readline())
        assert set(pids) == {"one", "two"}
        assert all(alive(pid) for pid in pids.values())
        process.kill()
    wait_until(
        lambda: not any(alive(pid) for pid in pids.values()), timeout_s=60, what="the children gone"
    )


def test_a_log_grown_large_is_set_aside_at_the_next_start(tmp_path, monkeypatch):
    monkeypatch.setattr("devstack.programs.LOG_MAX_BYTES", 4)
    child = Child(
        Program(name="talker", command=[sys.executable, "-c", "print('words')"]),
        log_directory=tmp_path,
    )
    for _ in range(2):
        child.start()
        assert child.wait_ended(10)
        child.kill()
    assert (tmp_path / "talker.log.1").read_text() == "words\n"
    assert (tmp_path / "talker.log").read_text() == "words\n"
