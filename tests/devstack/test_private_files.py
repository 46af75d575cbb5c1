"""Private files: whose they are, and that nobody sees half of one."""

import os
import stat
from pathlib import Path

import pytest

from config.private_files import write_private


def test_only_the_owner_may_read_it_whatever_was_there_before(tmp_path):
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_refuses_leaves_the_old_one(monkeypatch, tmp_path):
    path = tmp_path / "secret"
    write_private(path, "old")

    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_private(path, "new")
    assert path.read_text() == "old"


def test_file_and_name_are_both_on_disk_before_it_returns(monkeypatch, tmp_path):
    synced = []
    fsync = os.fsync

    def watch(descriptor):
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    write_private(tmp_path / "secret", "text")
    file, directory = synced
    assert file.startswith(f"{tmp_path}/.secret.")
    assert directory == str(tmp_path)
