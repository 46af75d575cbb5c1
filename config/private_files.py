"""Small files that nobody else may read, replaced in one step."""

import os
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text`, mode 0600, so that a reader sees the old text or the new one.

    It is on disk before this returns, under its name, also if the power is cut then.
    """
    following = path.with_name(f".{path.name}.{os.getpid()}")
    following.unlink(missing_ok=True)
    descriptor = os.open(following, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    following.replace(path)
    # The name is the directory's, which is written by itself, or later.
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
