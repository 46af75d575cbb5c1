"""Group commit: requests that arrive together become one entry of a Redis stream.

A batch closes when the one before it is written, so a lone request waits for its own round trip
only, and a thousand at once share one. Each is answered when its batch is in the stream, which is
on disk when Redis says so (`appendfsync always`).

Whatever goes wrong, an answer says what is true. 503: nothing was accepted, and nothing will be
counted. When the connection ends between a batch and its reply nobody knows whether Redis has it:
the same batch is then sent again under its number (see `runtime.stream`) until it is acknowledged.
After the deadline PostgreSQL decides: either a drain has applied the batch, or its number is
marked so that no drain ever will. Only when PostgreSQL does not answer either is the outcome
unknown, and the client gets no answer at all.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import repeat
from logging import getLogger
from typing import Any, Generic, TypeVar

from runtime.commit_stats import CommitStats
from runtime.http.answer import UNKNOWN, Answer
from runtime.http.errors import INTERNAL_ERROR, error_answer
from runtime.http.routes import Reply
from runtime.redis_link import LinkLostError, NotConnectedError, RedisLink, ReplyError, pack
from runtime.stream import append_words, new_writer, stream_key

log = getLogger(__name__)

Item = TypeVar("Item")
# The stream's key, the writer and the batch's number; True when a drain has applied the batch,
# False when none ever will. Raises when that cannot be decided. Called in a thread.
Settle = Callable[[str, bytes, int], bool]

_TICK_S = 1.0
_RETRY_PAUSE_S = 0.05
_FIRST_CONNECT_S = 2.0
# Redis will take writes again, or another one does already: worth another look.
_ELSEWHERE = (
    *("READONLY", "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOREPLICAS"),
    *("BUSY", "UNBLOCKED"),
)


def _busy(msg: str) -> Answer:
    return error_answer(503, f"{msg}; nothing was accepted", retry_after_s=1)


REFUSALS = {
    "redis": _busy("store: redis does not take writes"),
    "queue": _busy("store: too much is waiting to be written"),
    "stream": _busy("store: too much was accepted and is not stored yet"),
    "stopping": _busy("server: is stopping"),
    "encode": INTERNAL_ERROR,
}


@dataclass(frozen=True, kw_only=True)
class CommitLimits:
    """Bounds of one worker's group commit.

    A batch closes at `batch_bytes` or `batch_items`; `queue_bytes` is the most that may wait,
    as `submit` is told. At `stream_max_bytes` of Redis's memory the stream takes nothing more
    until it is drained. `deadline_s` is how long an uncertain batch is tried again before it is
    settled, `settle_s` how long that may take, `answer_s` how long one try waits for Redis.
    """

    batch_items: int = 20_000
    batch_bytes: int = 1024 * 1024
    queue_bytes: int = 64 * 1024 * 1024
    stream_max_bytes: int = 1024 * 1024 * 1024
    deadline_s: float = 5.0
    settle_s: float = 5.0
    answer_s: float = 2.0


class _Batch(Generic[Item]):
    """Requests that are written together."""

    __slots__ = ("answers", "began_s", "items", "replies", "seq", "size_bytes", "words")

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.replies: list[Reply] = []
        self.answers: list[Answer] = []
        self.size_bytes = 0
        self.began_s = 0.0
        self.seq = 0
        self.words = b""


class GroupCommit(Generic[Item]):
    """One worker's door to one shard of a stream.

    `encode` turns the items of a batch into the payload that the domain's drain reads; `settle`
    is described above. `start` it after the fork on the loop that serves.
    """

    def __init__(
        self,
        *,
        name: str,
        url: str,
        shards: int,
        encode: Callable[[list[Item]], bytes],
        settle: Settle,
        limits: CommitLimits | None = None,
    ) -> None:
        self.key = stream_key(name, os.getpid() % shards)
        self.limits = limits or CommitLimits()
        self.stats = CommitStats(name)
        self._encode = encode
        self._settle = settle
        self._link = RedisLink(url, self.key, answer_timeout_s=self.limits.answer_s)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._rescuer: asyncio.Task[None] | None = None
        self._writer = new_writer()
        self._seq = 0
        # Full batches, oldest first, then the one that takes requests; what all of them hold.
        self._full: deque[_Batch[Item]] = deque()
        self._open: _Batch[Item] = _Batch()
        self._waiting_bytes = 0
        # The batch that is being written, or a flush that is about to begin.
        self._writing: _Batch[Item] | None = None
        self._scheduled = False
        self._stream_bytes = 0
        self._stopping = False
        self._done = asyncio.Event()

    # -- a worker's life ------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin, on the running loop; waits a moment for Redis, and goes on without it."""
        self._loop = asyncio.get_running_loop()
        self._link.start(self._loop)
        self._ticker = self._loop.create_task(self._tick())
        if not await self._link.wait_connected(_FIRST_CONNECT_S):
            log.warning("%s: redis does not answer: %s", self.key, self._link.failure)

    async def stop(self) -> None:
        """Refuse what comes now, write and answer what was taken, then close."""
        self._stopping = True
        if self._owes():
            await self._done.wait()
        if self._ticker is not None:
            self._ticker.cancel()
        await self._link.stop()
        self.stats.publish()

    @property
    def failure(self) -> str | None:
        """Why this cannot write now, for people; None while it can."""
        return None if self._link.connected else self._link.failure

    # -- taking requests ------------------------------------------------------------------------

    def submit(self, item: Item, size_bytes: int, reply: Reply, accepted: Answer) -> None:
        """Take one request: `reply(accepted)` once it is in the stream, else a 503, or `UNKNOWN`
        when nobody can tell. `size_bytes`, above 0, is about what the item takes in a payload.

        On the loop's thread only. May reply before it returns.
        """
        waiting_bytes = self._waiting_bytes + size_bytes
        if waiting_bytes > self.limits.queue_bytes or self._shut():
            self._refuse_new(reply)
            return
        self._waiting_bytes = waiting_bytes
        batch = self._open
        batch.items.append(item)
        batch.replies.append(reply)
        batch.answers.append(accepted)
        batch.size_bytes += size_bytes
        if (
            batch.size_bytes >= self.limits.batch_bytes
            or len(batch.items) >= self.limits.batch_items
        ):
            self._full.append(batch)
            self._open = _Batch()
        if self._writing is None and not self._scheduled:
            # Behind everything that this turn of the loop still has to read.
            self._scheduled = True
            assert self._loop is not None
            self._loop.call_soon(self._flush)

    def _shut(self) -> bool:
        return self._stopping or self._stream_bytes >= self.limits.stream_max_bytes

    def _refuse_new(self, reply: Reply) -> None:
        reason = "queue"
        if self._stopping:
            reason = "stopping"
        elif self._stream_bytes >= self.limits.stream_max_bytes:
            reason = "stream"
        self.stats.refused(reason, 1)
        reply(REFUSALS[reason])

    # -- writing --------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Write the oldest batch, if there is one."""
        self._scheduled = False
        if self._full:
            batch = self._full.popleft()
        elif self._open.items:
            batch, self._open = self._open, _Batch()
        else:
            return
        self._writing = batch
        batch.began_s = time.monotonic()
        try:
            payload = self._encode(batch.items)
        except Exception:
            # A domain's mistake costs this batch, not the worker's whole ingest.
            log.exception("%s: a batch cannot be encoded", self.key)
            self._refuse(batch, "encode")
            return
        self._seq += 1
        batch.seq = self._seq
        batch.words = pack(append_words(self.key, self._writer, batch.seq, payload))
        try:
            self._link.call(batch.words, self._written)
        except NotConnectedError:
            self._refuse(batch, "redis")

    def _written(self, reply: Any) -> None:
        batch = self._writing
        assert batch is not None
        if type(reply) is bytes:
            self._accept(batch)
        else:
            assert self._loop is not None
            self._rescuer = self._loop.create_task(self._rescue(batch, reply))
            self._rescuer.add_done_callback(lambda task: self._rescued(task, batch))

    def _accept(self, batch: _Batch[Item]) -> None:
        self._stream_bytes += len(batch.words)
        self.stats.accepted(len(batch.items), time.monotonic() - batch.began_s)
        self._release(batch)
        _tell(batch.replies, batch.answers)

    def _refuse(self, batch: _Batch[Item], reason: str) -> None:
        self.stats.refused(reason, len(batch.items))
        self._release(batch)
        _tell(batch.replies, repeat(REFUSALS[reason]))

    def _abandon(self, batch: _Batch[Item]) -> None:
        """Nobody knows: a new writer, since this one's number may be used or not."""
        self._writer, self._seq = new_writer(), 0
        self.stats.refused("unknown", len(batch.items))
        self._release(batch)
        _tell(batch.replies, repeat(UNKNOWN))

    def _release(self, batch: _Batch[Item]) -> None:
        """Make way for the next batch, before anybody hears of this one and sends more."""
        self._waiting_bytes -= batch.size_bytes
        self._writing = None
        if (self._full or self._open.items) and not self._scheduled:
            self._scheduled = True
            assert self._loop is not None
            # Two turns of the loop: in the first one those who are being answered now come back,
            # or they would be one half of the clients for ever, and the others the other half.
            self._loop.call_soon(self._loop.call_soon, self._flush)
        if self._stopping and not self._owes():
            self._done.set()

    def _owes(self) -> bool:
        return self._writing is not None or bool(self._full or self._open.items)

    # -- when Redis did not just take it --------------------------------------------------------

    async def _rescue(self, batch: _Batch[Item], reply: Any) -> None:
        """Send the batch again until it is certain what became of it."""
        uncertain = False
        give_up_s = batch.began_s + self.limits.deadline_s
        while not isinstance(reply, bytes):
            if isinstance(reply, LinkLostError):
                uncertain = True
            elif isinstance(reply, ReplyError):
                if str(reply).startswith(_ELSEWHERE):
                    self._link.drop()
                elif not uncertain:
                    log.warning("%s: redis refuses writes: %s", self.key, reply)
                    self._refuse(batch, "redis")
                    return
                await asyncio.sleep(_RETRY_PAUSE_S)
            left_s = give_up_s - time.monotonic()
            if left_s <= 0 or not await self._link.wait_connected(left_s):
                await self._give_up(batch, uncertain=uncertain)
                return
            reply = await self._try_again(batch, give_up_s)
        self._accept(batch)

    def _rescued(self, task: asyncio.Task[None], batch: _Batch[Item]) -> None:
        """A mistake of ours costs this batch, not the worker's whole ingest."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("%s: a batch could not be rescued", self.key, exc_info=error)
        if self._writing is batch:
            self._abandon(batch)

    async def _try_again(self, batch: _Batch[Item], give_up_s: float) -> Any:
        """The reply to another try; a lost link when none comes before the deadline."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def resolve(reply: Any) -> None:
            if not future.done():
                future.set_result(reply)

        try:
            self._link.call(batch.words, resolve)
            async with asyncio.timeout(max(0.0, give_up_s - time.monotonic())):
                return await future
        except NotConnectedError as error:
            return error
        except TimeoutError:
            self._link.drop()
            return LinkLostError("no answer before the deadline")

    async def _give_up(self, batch: _Batch[Item], *, uncertain: bool) -> None:
        log.warning("%s: redis does not answer: %s", self.key, self._link.failure)
        if not uncertain:
            self._refuse(batch, "redis")
            return
        try:
            async with asyncio.timeout(self.limits.settle_s):
                applied = await asyncio.to_thread(self._settle, self.key, self._writer, batch.seq)
        except Exception as error:  # noqa: BLE001
            # Whatever keeps PostgreSQL from deciding, the truth is the same: nobody knows.
            log.error("%s: what became of a batch is unknown: %s", self.key, error)  # noqa: TRY400
            self._abandon(batch)
            return
        if applied:
            self._accept(batch)
        else:
            self._refuse(batch, "redis")

    # -- once a second --------------------------------------------------------------------------

    async def _tick(self) -> None:
        """Look how much waits in the stream, and publish what was counted."""
        while True:
            try:
                used_bytes = await self._link.command("MEMORY", "USAGE", self.key)
            except (NotConnectedError, LinkLostError, ReplyError):
                pass  # What was known before stays the best guess.
            else:
                # None: there is no stream.
                self._stream_bytes = int(used_bytes or 0)
            self.stats.publish()
            await asyncio.sleep(_TICK_S)


def _tell(replies: Iterable[Reply], answers: Iterable[Answer]) -> None:
    """Give each its answer; as many as there are replies."""
    for reply, answer in zip(replies, answers, strict=False):
        try:
            reply(answer)
        except Exception:
            # One request's trouble is not the batch's.
            log.exception("an answer could not be given")
