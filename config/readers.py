"""Threads for hot reads that may have to wait for a store, so that the event loop does not."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from logging import getLogger

from django.db import close_old_connections

from config.faults import RETRY_AFTER_S, STORE_AWAY, STORE_AWAY_MSG
from runtime.http.answer import Answer
from runtime.http.errors import error_answer
from runtime.http.routes import Reply

log = getLogger(__name__)

# As many as the process may have database connections, by default.
_THREADS = 8
# Beyond, a read would wait longer than its client does.
_WAITING_MOST = 512
_AWAY = error_answer(503, STORE_AWAY_MSG, retry_after_s=RETRY_AFTER_S)
_BUSY = error_answer(503, "server: too many reads are waiting", retry_after_s=RETRY_AFTER_S)
_INTERNAL_ERROR = error_answer(500, "internal error")


class Readers:
    """A worker's threads for reads; made and used on its loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="hot-read")
        self._waiting = 0

    def hand_over(self, work: Callable[[], Answer], reply: Reply) -> None:
        """Run `work` in a thread, then reply with its answer on the loop; 503 when too many wait
        already, or when the database is away.
        """
        if self._waiting >= _WAITING_MOST:
            reply(_BUSY)
            return
        self._waiting += 1
        self._pool.submit(self._work, work, reply)

    def _work(self, work: Callable[[], Answer], reply: Reply) -> None:
        try:
            answer = work()
        except STORE_AWAY:
            answer = _AWAY
        except Exception:
            log.exception("Exception in hot read")
            answer = _INTERNAL_ERROR
        finally:
            close_old_connections()
        self._loop.call_soon_threadsafe(self._done, reply, answer)

    def _done(self, reply: Reply, answer: Answer) -> None:
        self._waiting -= 1
        reply(answer)

    async def stop(self) -> None:
        """Wait for what is under way."""
        await asyncio.to_thread(self._pool.shutdown)
