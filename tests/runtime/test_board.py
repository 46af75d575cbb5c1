"""The board of workers: who lives is on it, who died is not, and nothing on it breaks a reader."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from runtime import board
from runtime.board import Board, read_board


def test_an_entry_is_written_replaced_and_removed(tmp_path: Path) -> None:
    entry = Board(tmp_path / "deep" / "down", "api")
    for version in (1, 2):
        entry.write(version=version)
        (only,) = read_board(tmp_path / "deep" / "down")
        assert only.pop("age_s") >= 0
        assert only == {"pool": "api", "pid": os.getpid(), "version": version}
    entry.remove()
    entry.remove()
    assert list((tmp_path / "deep" / "down").iterdir()) == []


def test_the_dead_are_taken_off(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from runtime.board import Board; "
    code += "Board(Path(sys.argv[1]), 'edge').write(version=1)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert len(list(tmp_path.iterdir())) == 1
    Board(tmp_path, "api").write(version=1)
    assert [entry["pool"] for entry in read_board(tmp_path)] == ["api"]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_pid_that_another_process_got_is_not_a_worker(tmp_path: Path) -> None:
    for age_s in (board.STALE_S + 1, 1):
        written_at = time.time() - age_s
        entry = {"pool": "api", "pid": os.getppid(), "written_at": written_at, "age": age_s}
        (tmp_path / f"api-{age_s}.json").write_text(json.dumps(entry))
    assert [entry["age"] for entry in read_board(tmp_path)] == [1]


def test_what_is_no_entry_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "api-1.json").write_text("{")
    (tmp_path / "api-2.json").write_text('{"pool": "api"}')
    (tmp_path / "api-3.json").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    assert read_board(tmp_path) == []
    assert read_board(tmp_path / "none") == []


def test_a_directory_that_vanished_stops_nobody(tmp_path: Path) -> None:
    entry = Board(tmp_path / "board", "api")
    (tmp_path / "board").rmdir()
    entry.write(version=1)
    assert read_board(tmp_path / "board") == []
    entry.remove()
