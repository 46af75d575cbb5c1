"""A disk that is soon full: a tmpfs of a few megabytes over a directory, for tests of ENOSPC."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_CHUNK_BYTES = 65_536


class SmallDisk:
    """The mounted directory. `fill` leaves no byte free, `free` returns what was filled."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Take all the space that is left."""
        with self._ballast.open("ab", buffering=0) as ballast:
            size_bytes = _CHUNK_BYTES
            while size_bytes:
                try:
                    ballast.write(b"x" * size_bytes)
                except OSError:
                    size_bytes //= 2

    def free(self) -> None:
        """Return it."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(path: Path, *, size_mb: int = 64) -> Iterator[SmallDisk]:
    """Mount a tmpfs of `size_mb` on `path`, which is made. Everything that uses it must have
    ended when the context does. Only root may mount: for an ordinary user the test is skipped.
    """
    if os.geteuid() != 0:
        pytest.skip("an ordinary user cannot mount a small disk")
    path.mkdir(parents=True, exist_ok=True)
    options = f"size={size_mb}m,mode=0755"
    mount = ["mount", "-t", "tmpfs", "-o", options, "small-disk", str(path)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"like an ordinary user, this root cannot mount: {done.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
