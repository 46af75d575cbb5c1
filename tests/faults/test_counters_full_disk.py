"""A full disk under Redis or PostgreSQL: what cannot be made safe is refused, and what was
accepted before, or in spite of it, is counted once there is space again.
"""

import shutil
from collections.abc import Iterator

import pytest

from tests.faults.counting import Crowd, assert_exact, new_keys
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.stack import Stack, wait_until

pytestmark = [pytest.mark.drill, pytest.mark.xdist_group("disk")]

# What a fresh PostgreSQL takes, and some room; Redis's log is a few kilobytes.
SIZES_MB = {"redis": 64, "postgres": 256}


@pytest.fixture(params=SIZES_MB)
def cramped(request: pytest.FixtureRequest) -> Iterator[tuple[Stack, SmallDisk, str]]:
    """A stack of which one store lives on a small disk."""
    stack = Stack({"WEB_CONCURRENCY": "2"})
    with small_disk(stack.data_directory / request.param, size_mb=SIZES_MB[request.param]) as disk:
        try:
            stack.start()
            yield stack, disk, request.param
        finally:
            stack.stop()
            shutil.rmtree(stack.data_directory, ignore_errors=True)


def test_nothing_accepted_is_lost(cramped: tuple[Stack, SmallDisk, str]) -> None:
    stack, disk, store = cramped
    keys = new_keys(100)
    crowd = Crowd(stack, keys, clients=16, seed=1)
    with crowd:
        wait_until(lambda: crowd.accepted, timeout_s=60, what="increments are accepted")
        disk.fill()
        if store == "redis":
            wait_until(
                lambda: crowd.journal.refusals > 16, timeout_s=90, what="increments are refused"
            )
        else:
            before = crowd.accepted
            wait_until(lambda: crowd.accepted > before, timeout_s=90, what="the stream takes them")
        disk.free()
        before = crowd.accepted
        wait_until(lambda: crowd.accepted > before, timeout_s=90, what="they are accepted again")
    assert_exact(stack, keys, crowd.journal)
