"""The step before everything: which Python, what is installed, what an interruption leaves."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from devstack import bootstrap
from devstack.programs import ROOT
from tests.support.stack import alive, wait_until


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The bootstrap on a directory of its own: locks of one line, an empty `.venv`, no pip."""
    venv, requirements = tmp_path / ".venv", tmp_path / "requirements"
    (venv / "bin").mkdir(parents=True)
    requirements.mkdir()
    for name in ("base", "devstack", "dev"):
        (requirements / f"{name}.txt").write_text(f"{name}==1\n")
    monkeypatch.setattr(bootstrap, "VENV", venv)
    monkeypatch.setattr(bootstrap, "PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(bootstrap, "UNFINISHED", venv / ".unfinished")
    monkeypatch.setattr(bootstrap, "REQUIREMENTS", requirements)
    (venv / "bin" / "python").symlink_to(sys.executable)
    return tmp_path


@pytest.fixture
def installed(place, monkeypatch):
    """The sets given to pip, call by call; pip itself does nothing."""
    calls: list[list[str]] = []

    def record(command):
        assert bootstrap.UNFINISHED.exists(), "a crash now must be noticed later"
        files = [part for part in command if part.endswith(".txt")]
        calls.append([Path(file).stem for file in files])

    monkeypatch.setattr(bootstrap, "quietly", record)
    return calls


def test_it_parses_on_a_python_too_old_to_run_it():
    source = (ROOT / "devstack" / "bootstrap.py").read_text()
    assert ast.parse(source, feature_version=(3, 6))


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 10, 13)])
def test_an_older_python_is_one_clear_line(monkeypatch, capsys, place, version):
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    bootstrap.PYTHON.unlink()
    assert bootstrap.main(["run"]) == 1
    found = ".".join(map(str, version))
    assert capsys.readouterr().err == f"Python 3.11 or newer is needed; python3 here is {found}\n"


def test_a_python_that_fits_is_taken_from_the_path_instead(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    monkeypatch.setattr(shutil, "which", {"python3.11": sys.executable}.get)
    assert bootstrap.interpreter() == sys.executable


def test_a_name_on_the_path_that_does_not_run_is_passed_over(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    names = {"python3.12": "/bin/false", "python3.11": sys.executable}
    monkeypatch.setattr(shutil, "which", names.get)
    assert bootstrap.interpreter() == sys.executable


def test_what_is_installed_is_not_installed_again(installed):
    bootstrap.install(["base", "devstack"])
    bootstrap.install(["base", "devstack"])
    assert installed == [["base", "devstack"]]
    assert not bootstrap.UNFINISHED.exists()


def test_a_set_locked_anew_is_installed_alone(installed, place):
    bootstrap.install(["base", "devstack"])
    (place / "requirements" / "base.txt").write_text("base==2\n")
    bootstrap.install(["base", "devstack", "dev"])
    assert installed[1:] == [["base", "dev"]]


def test_an_environment_torn_by_a_crash_is_made_anew(place, monkeypatch, capsys):
    commands: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "quietly", commands.append)
    bootstrap.make_environment()
    assert commands == [], "one that is whole is kept"
    bootstrap.UNFINISHED.touch()
    bootstrap.make_environment()
    assert [command[1:3] for command in commands] == [["-m", "venv"]]
    assert "making .venv" in capsys.readouterr().out
    assert list(bootstrap.VENV.iterdir()) == [], "nothing of the torn one is kept"


def test_an_environment_whose_python_is_gone_is_made_anew(place, monkeypatch):
    commands: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "quietly", commands.append)
    bootstrap.PYTHON.unlink()
    bootstrap.PYTHON.symlink_to("/does/not/exist")
    bootstrap.make_environment()
    assert len(commands) == 1


def test_pip_that_fails_is_one_clear_line(place, monkeypatch, capsys):
    def fail(command):
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(bootstrap, "quietly", fail)
    assert bootstrap.main(["run"]) == 1
    assert capsys.readouterr().err == "pip could not install the locked requirements, see above\n"
    assert bootstrap.UNFINISHED.exists(), "the next run must not trust this environment"


def test_an_unknown_command_is_told_how(capsys):
    assert bootstrap.main(["fly"]) == 2
    assert capsys.readouterr().err == "usage: python3 devstack/bootstrap.py {}\n".format(
        "|".join(bootstrap.COMMANDS)
    )


def test_an_interruption_ends_what_was_started(tmp_path):
    pid_file = tmp_path / "pid"
    inner = f"echo $$ > {pid_file}; sleep 600 & wait"
    script = (
        "import signal\n"
        "from devstack import bootstrap\n"
        "signal.signal(signal.SIGTERM, bootstrap.stop)\n"
        f"bootstrap.quietly(['sh', '-c', {inner!r}])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.DEVNULL
    ) as process:
        wait_until(
            lambda: pid_file.exists() and pid_file.read_text().strip(), timeout_s=60, what="the pid"
        )
        process.terminate()
        process.wait(60)
    assert not alive(int(pid_file.read_text()))


def test_every_make_target_is_a_command():
    targets = [
        line.partition(":")[0]
        for line in (ROOT / "Makefile").read_text().splitlines()
        if ": ## " in line
    ]
    assert tuple(targets) == bootstrap.COMMANDS
