"""A whole running product to break: two workers in each pool, durable stores, a supervisor."""

from collections.abc import Iterator

import pytest

from tests.faults.support import assert_log_is_whole, fresh_by_command, wait_agreed
from tests.support.stack import Stack


@pytest.fixture(scope="package")
def running() -> Iterator[Stack]:
    # Long enough for a busy machine, short enough to be waited out.
    with Stack({"WEB_CONCURRENCY": "2", "DATABASE_ANSWER_TIMEOUT_S": "8"}) as stack:
        yield stack
        # The command takes two seconds to start: it is asked once, and after each test the tables.
        assert wait_agreed(stack).version <= fresh_by_command(stack).version


@pytest.fixture
def victim(running: Stack) -> Iterator[Stack]:
    """The stack, whole before the test; afterwards it must have mended itself."""
    wait_agreed(running)
    yield running
    wait_agreed(running)
    assert_log_is_whole(running)
