"""`python -m devstack run`, with the packages installed; `make` comes here through bootstrap.py."""

import sys

from devstack.errors import StackError
from devstack.stack import run


def main(arguments: list[str]) -> int:
    """Carry out one command; gives the exit code."""
    if arguments != ["run"]:
        print("usage: python -m devstack run", file=sys.stderr)
        return 2
    try:
        return run()
    except StackError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
