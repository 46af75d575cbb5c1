"""Small files the stack keeps: secrets nobody else may read, and state replaced in one step."""

import importlib.util
import os
import secrets
from pathlib import Path

from devstack.errors import StackError


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text`, mode 0600, so that a reader sees the old text or the new one."""
    following = path.with_name(f".{path.name}.{os.getpid()}")
    following.unlink(missing_ok=True)
    descriptor = os.open(following, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    following.replace(path)


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
