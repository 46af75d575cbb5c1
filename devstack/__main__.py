"""`python -m devstack COMMAND`, with the packages installed; `make` comes here by bootstrap.py."""

import os
import sys

# More workers than the least of machines has cores: much of the suite waits for servers.
_PYTEST = ("-m", "pytest", "-n", "4", "--dist", "loadgroup")
BECOMES = {
    "test": _PYTEST,
    "drill": ("-m", "pytest", "-m", "drill"),
    "bench": ("-m", "benchmarks"),
}


def main(command: str, arguments: list[str]) -> int:
    """Carry out one command, or become the program that does; gives the exit code."""
    if command in BECOMES:
        os.execv(sys.executable, [sys.executable, *BECOMES[command], *arguments])  # noqa: S606
    if command not in ("run", "lint") or arguments:
        print(f"usage: python -m devstack run|lint|{'|'.join(BECOMES)}", file=sys.stderr)
        return 2
    try:
        return _carry_out(command)
    except KeyboardInterrupt:
        return 130


def _carry_out(command: str) -> int:
    # Not at the top: a Ctrl-C that comes meanwhile is no traceback.
    from devstack.checks import lint
    from devstack.errors import StackError
    from devstack.stack import run

    try:
        return run() if command == "run" else lint()
    except StackError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:]))
