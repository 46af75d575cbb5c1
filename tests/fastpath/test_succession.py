"""What workers know of their successors."""

import os
import subprocess
import sys
from pathlib import Path

from config.succession import Succession, _stamp


def test_a_worker_awaits_nobody_unless_it_is_replaced(tmp_path):
    pool = Succession(tmp_path, "api")
    assert not pool.awaited()
    pool.begin()
    pool.serve()
    assert not pool.awaited()


def test_a_worker_awaits_its_successors_as_long_as_they_live(tmp_path):
    pool = Succession(tmp_path, "api")
    pool.begin()
    pool.boot()
    pool.serve()
    directory = tmp_path / "succession-api"
    pool.announce(2)
    assert pool.awaited(), "they may be forked and not have said so"
    age(directory / "reload", 10)
    assert not pool.awaited(), "none has begun to start"
    pool.announce(2)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as successor:
        _stamp(directory / f"booting-{successor.pid}")
        assert pool.awaited()
        _stamp(directory / f"serving-{successor.pid}")
        assert pool.awaited(), "one of two serves"
        _stamp(directory / "serving-1")
        assert not pool.awaited()
        pool.forget(1)
        assert pool.awaited()
        successor.communicate(b"\n")
    assert not pool.awaited(), "it is gone"


def test_a_successor_does_not_wait_for_itself(tmp_path):
    pool = Succession(tmp_path, "api")
    pool.begin()
    pool.announce(2)
    pool.boot()
    pool.serve()
    assert not pool.awaited()


def test_successors_that_take_for_ever_are_not_awaited(tmp_path):
    pool = Succession(tmp_path, "api")
    pool.begin()
    pool.announce(1)
    pool.boot()
    assert pool.awaited()
    age(tmp_path / "succession-api" / "reload", 1000)
    assert not pool.awaited()


def age(mark: Path, seconds: float) -> None:
    then_s = mark.stat().st_mtime - seconds
    os.utime(mark, (then_s, then_s))
