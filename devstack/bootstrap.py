"""Makes the virtual environment, then hands over to the devstack inside it.

    python3 devstack/bootstrap.py run|test|lint|bench|drill [ARGUMENT...]

Run by whatever `python3` the machine has: standard library only, and no syntax younger than
Python 3.6, so that an older one gets a clear line and not a traceback. Each set of requirements
leaves a stamp in `.venv`; a second run sees them and goes straight on.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from devstack.parent import Parent  # noqa: E402 - found from there

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = ROOT / "requirements"
# There while packages are being put in: an environment that still has it was torn by a crash.
UNFINISHED = VENV / ".unfinished"
OLDEST_PYTHON = (3, 11)
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
COMMANDS = ("run", "test", "lint", "bench", "drill")
BEGAN_S = time.monotonic()
PARENT = Parent()
# Between two looks whether make alone was told to stop.
LISTEN_S = 0.2


class BootstrapError(Exception):
    """Something the engineer can put right; its text is the whole message."""


def say(text: str) -> None:
    """Print a step at once, with the seconds since the start."""
    print(f"[{time.monotonic() - BEGAN_S:6.1f} s] {text}", flush=True)


def let_stop() -> None:
    """Take signals to stop again."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def quietly(command: "list[str]") -> None:
    """Run a command in its own session, so that nothing of it outlives us when we are stopped.

    CalledProcessError when it fails.
    """
    process = None
    # Not stopped between its start and the moment that we hold it.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        process = subprocess.Popen(
            command, cwd=str(ROOT), start_new_session=True, preexec_fn=let_stop
        )
        let_stop()
        code = wait(process)
    except BaseException:
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        let_stop()
        raise
    if code != 0:
        raise subprocess.CalledProcessError(code, command)


def wait(process: "subprocess.Popen[bytes]") -> int:
    """Its exit code, once it has ended. KeyboardInterrupt when make is told to stop before."""
    while True:
        try:
            return process.wait(LISTEN_S)
        except subprocess.TimeoutExpired:
            listen()


def listen() -> None:
    """KeyboardInterrupt when make alone was told to stop."""
    if PARENT.was_interrupted():
        raise KeyboardInterrupt


def answer(python: str, expression: str) -> str:
    """What another interpreter prints for an expression; empty when it cannot run."""
    try:
        output = subprocess.check_output(
            [python, "-c", f"import sys, sysconfig; print({expression})"],
            stderr=subprocess.DEVNULL,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return output.decode().strip()


def interpreter() -> str:
    """The Python to make the environment with. BootstrapError when every one is too old."""
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return sys.executable
    for name in ("python3.12", "python3.11"):
        path = shutil.which(name)
        if path and answer(path, "sys.version_info[0]") == "3":
            return path
    found = ".".join(str(part) for part in sys.version_info[:3])
    raise BootstrapError(f"Python 3.11 or newer is needed; python3 here is {found}")


def make_environment() -> None:
    """Make `.venv` when there is none, anew when it is torn or its Python is gone."""
    if PYTHON.exists() and not UNFINISHED.exists() and answer(str(PYTHON), "1") == "1":
        return
    python = interpreter()
    say(f"making .venv with {python}")
    shutil.rmtree(str(VENV), ignore_errors=True)
    VENV.mkdir()
    UNFINISHED.touch()
    try:
        quietly([python, "-m", "venv", str(VENV)])
    except subprocess.CalledProcessError:
        raise BootstrapError(
            "Python's venv module cannot make .venv; on Debian: apt install python3-venv"
        ) from None
    # Tools in .venv/bin find the project from any directory, pytest's plugin among them.
    for site_packages in VENV.glob("lib/python3.*/site-packages"):
        (site_packages / "adhouse.pth").write_text(f"{ROOT}\n")
    UNFINISHED.unlink()


def lock_hash(name: str) -> str:
    """Identifies one locked set of requirements."""
    return hashlib.sha256((REQUIREMENTS / f"{name}.txt").read_bytes()).hexdigest()


def stamp(name: str) -> Path:
    """Holds the hash of the set that is installed."""
    return VENV / f".installed-{name}"


def stamped(name: str) -> str:
    """What the stamp says; empty without one."""
    return stamp(name).read_text() if stamp(name).exists() else ""


def pip_install(names: "list[str]") -> None:
    """Put locked sets into `.venv`, exactly as locked. CalledProcessError when that fails."""
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-input", "--no-deps", "--require-hashes", "--use-pep517"]
    for name in names:
        command += ["-r", str(REQUIREMENTS / f"{name}.txt")]
    UNFINISHED.touch()
    quietly(command)


def install(names: "list[str]") -> None:
    """Install the sets that are missing or were locked anew. BootstrapError when that fails."""
    missing = [name for name in names if stamped(name) != lock_hash(name)]
    if not missing:
        return
    say(f"installing locked requirements: {', '.join(missing)} (the first time takes a minute)")
    try:
        pip_install(missing)
    except subprocess.CalledProcessError:
        raise BootstrapError("pip could not install the locked requirements, see above") from None
    for name in missing:
        stamp(name).write_text(lock_hash(name))
    UNFINISHED.unlink()


def prepare(command: str) -> None:
    """Bring `.venv` to what the command needs. One at a time: others wait."""
    descriptor = os.open(str(REQUIREMENTS), os.O_RDONLY)
    try:
        lock(descriptor)
        make_environment()
        install(["base", "devstack"] + ([] if command == "run" else ["kdb", "dev"]))
    finally:
        os.close(descriptor)


def lock(descriptor: int) -> None:
    """Take the lock once it is free. KeyboardInterrupt when make is told to stop before."""
    waits = False
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waits:
                say("waiting for another make that is preparing .venv")
            waits = True
            time.sleep(LISTEN_S)
            listen()


def stop(_number: int, _frame: object) -> None:
    """SIGTERM ends us as Ctrl-C does, so that what we started is cleared away."""
    raise KeyboardInterrupt


def main(arguments: "list[str]") -> int:
    """Prepare, then become the devstack; returns only with an exit code for a failure."""
    if not arguments or arguments[0] not in COMMANDS:
        print(f"usage: python3 devstack/bootstrap.py {'|'.join(COMMANDS)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, stop)
    try:
        prepare(arguments[0])
        listen()
    except BootstrapError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f".venv cannot be prepared: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    os.chdir(str(ROOT))
    # The product is a dozen processes and the suite hundreds: each would compile all of it anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return os.execv(str(PYTHON), [str(PYTHON), "-m", "devstack", *arguments])  # noqa: S606


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
