"""The files in which the processes of a pool keep their metrics: read together, and folded into one
when a process is gone.

prometheus-client makes files of 64 KiB for each process and leaves those of counters and histograms
for ever. A pool whose workers were replaced a hundred times would read a thousand of them at each
scrape, and fill a small disk in memory.
"""

import fcntl
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from logging import getLogger
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

log = getLogger(__name__)
_SUMMED = ("counter", "histogram", "summary")
# A scrape keeps the files for some ten milliseconds; nobody waits for long for one that hangs.
_TRIES, _PAUSE_S = 50, 0.01
# What prometheus-client writes before anything else.
_HEAD_BYTES = 8
# Key, value, timestamp, place in the file.
_Count = tuple[str, float, float, int]


class MetricFiles:
    """Collects what processes have written to files in some directories."""

    def __init__(self, directories: Iterable[Path]) -> None:
        self._directories = tuple(directories)

    def collect(self) -> Iterable[Metric]:
        """Everything, summed over all files."""
        kept = [each for each in self._directories if each.is_dir()]
        return _collect(kept, [])


def _collect(directories: list[Path], files: list[str]) -> Iterable[Metric]:
    if not directories:
        merged: Iterable[Metric] = MultiProcessCollector.merge(files, accumulate=True)  # type: ignore[no-untyped-call]
        return merged
    directory, *others = directories
    # All at once, or what a process has counted would be missing or there twice.
    with _lock(directory, fcntl.LOCK_SH):
        return _collect(
            others, files + [str(path) for path in directory.glob("*.db") if _has(path)]
        )


def _has(file: Path) -> bool:
    """Whether there is anything in it: a process may be killed right after it has made a file."""
    try:
        return file.stat().st_size >= _HEAD_BYTES
    except FileNotFoundError:
        return False


def fold(pid: int, directory: Path) -> None:
    """Add what a process that is gone has counted to what all before it have, and drop its gauges.

    While the files are being read for long they stay as they are, which only takes room. Never
    raises: the master of a pool, which calls this, is not to end for the sake of its metrics.
    """
    try:
        _fold(pid, directory)
    except Exception:
        log.exception("what process %d has counted is not in the metrics any more", pid)


def _fold(pid: int, directory: Path) -> None:
    mark_process_dead(pid, path=str(directory))  # type: ignore[no-untyped-call]
    for _ in range(_TRIES):
        try:
            with _lock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB):
                for kind in _SUMMED:
                    _add(directory / f"{kind}_{pid}.db", directory / f"{kind}_gone.db")
        except BlockingIOError:
            time.sleep(_PAUSE_S)
        else:
            return


def _add(file: Path, total: Path) -> None:
    if not _has(file):
        file.unlink(missing_ok=True)
        return
    if counts := _counts(file):
        if _has(total):
            # Put aside, if it cannot be read.
            _counts(total)
        _sum(counts, total)
    file.unlink(missing_ok=True)


def _counts(file: Path) -> list[_Count] | None:
    """What a file holds; None when that cannot be read, and then it is put aside."""
    try:
        return list(MmapedDict.read_all_values_from_file(str(file)))  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, struct.error):
        # Kept for who wants to know why, under a name that is not read again.
        log.exception("%s cannot be read", file)
        file.rename(file.with_suffix(".bad"))
        return None


def _sum(counts: list[_Count], total: Path) -> None:
    sums = MmapedDict(str(total))  # type: ignore[no-untyped-call]
    try:
        for key, value, timestamp, _ in counts:
            before, _ = sums.read_value(key)  # type: ignore[no-untyped-call]
            sums.write_value(key, before + value, timestamp)  # type: ignore[no-untyped-call]
    finally:
        sums.close()  # type: ignore[no-untyped-call]


@contextmanager
def _lock(directory: Path, how: int) -> Iterator[None]:
    with (directory / "lock").open("a") as file:
        fcntl.flock(file, how)
        yield
