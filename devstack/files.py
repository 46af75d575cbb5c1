"""What the stack keeps for its stores: a secret, a port; and where their programs lie."""

import importlib.util
import secrets
from pathlib import Path

from config.private_files import write_private
from devstack.errors import StackError


def kept_secret(path: Path) -> str:
    """The random password kept at `path`, made on first use; safe inside a URL."""
    if not path.exists() or not path.read_text().strip():
        write_private(path, secrets.token_urlsafe(24))
    return path.read_text().strip()


def kept_port(path: Path) -> int | None:
    """The port kept at `path`; None when there is none, or not one."""
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def package_directory(package: str) -> Path:
    """Where an installed package lies, without importing it. StackError if it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise StackError(f"the package {package} is not installed; `make run` installs it")
    return Path(spec.origin).parent
