"""DATA_DIR: all state of one embedded stack, held by one stack at a time.

Two locks, both the kernel's (flock), so that no stale file can lie: `lock` is ours alone;
`children.lock` is inherited by every process we start, and so stays taken until the last of them
is gone, also when we were killed.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from config.private_files import write_private
from devstack.errors import StackError

ORPHANS_END_TIMEOUT_S = 20.0
_POLL_S = 0.05


class DataDirectory:
    """A context manager: inside, `path` is writable and ours alone. StackError when it cannot be.

    Leaving it removes `stack.json` and frees the locks.
    """

    def __init__(self, path: Path, *, say: Callable[[str], None]) -> None:
        self.path = path
        self.logs = path / "logs"
        self.run = path / "run"
        self.children_lock_fd = -1
        self._stack_file = path / "stack.json"
        self._say = say
        self._lock_fd = -1

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(exist_ok=True)
            self._lock_fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            self.children_lock_fd = os.open(
                self.path / "children.lock", os.O_RDWR | os.O_CREAT, 0o600
            )
            self._take_lock()
        except OSError as error:
            raise StackError(f"DATA_DIR {self.path} cannot be used: {error.strerror}") from error
        self._await_orphans()
        # What a killed stack left: nothing in it is true any more.
        self._stack_file.unlink(missing_ok=True)
        shutil.rmtree(self.run, ignore_errors=True)
        self.run.mkdir()
        return self

    def write_stack(
        self,
        *,
        database_url: str,
        redis_url: str,
        cache_redis_url: str,
        processes: Mapping[str, int],
    ) -> None:
        """Publish `stack.json` (mode 0600), by which commands beside the stack find the stores."""
        stack = {
            "database_url": database_url,
            "redis_url": redis_url,
            "processes": dict(processes),
        }
        if cache_redis_url != redis_url:
            stack["cache_redis_url"] = cache_redis_url
        write_private(self._stack_file, json.dumps(stack, indent=2) + "\n")

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._lock_fd, 32, 0).decode(errors="replace").strip()
            raise StackError(
                f"DATA_DIR {self.path} is in use by another stack (process {holder}); "
                "stop that one first, or set DATA_DIR"
            ) from error
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, f"{os.getpid()}\n".encode(), 0)

    def _await_orphans(self) -> None:
        """Wait for the processes of a stack that was killed: they are told to end, and do."""
        give_up_s = time.monotonic() + ORPHANS_END_TIMEOUT_S
        told = False
        while True:
            try:
                fcntl.flock(self.children_lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > give_up_s:
                    raise StackError(
                        f"processes of an earlier stack still hold {self.path}/children.lock; "
                        "end them first"
                    ) from None
            else:
                return
            if not told:
                self._say("waiting for the processes of an earlier, killed stack to end")
                told = True
            time.sleep(_POLL_S)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack_file.unlink(missing_ok=True)
        os.close(self.children_lock_fd)
        os.close(self._lock_fd)
