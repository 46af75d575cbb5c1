"""What an api worker runs for the time series: the group commit of measurements, and the reads.

Made and started on the worker's loop, after the fork; its routes are hot, and the same handlers
stand behind Django's views.
"""

import asyncio
import time
from logging import getLogger
from typing import Any

import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse

from config import env
from config.doors import response_of
from config.faults import RETRY_AFTER_S
from runtime.commit import CommitLimits, GroupCommit
from runtime.guard import Guard
from runtime.http.errors import error_answer
from runtime.http.routes import RouteTable
from runtime.redis_where import open_redis
from runtime.stream import Stream
from timeseries import opening
from timeseries.export import (
    Export,
    ExportQuery,
    Exports,
    ExportsBusyError,
    read_export_query,
)
from timeseries.fastpath import Item, SaveDoors, encode_items
from timeseries.metrics import set_lag
from timeseries.queries import InvalidQueryError, Reach
from timeseries.questions import Questions
from timeseries.records import StoreAwayError, UnknownTagError
from timeseries.stores.base import StoreReader

log = getLogger(__name__)

_WATCH_S = 1.0
_HEALTH_S = 1.0
# Questions wait for a connection here rather than in PostgreSQL.
_QUESTIONS_MOST = 1_000
_EXPORTS_MOST = 16
_BEGIN_EXPORT_S = 30.0


class Measurements:
    """One worker's time series. `running` is the one of this process."""

    running: "Measurements | None" = None

    def __init__(self) -> None:
        self.commit: GroupCommit[Item] = GroupCommit(
            name=opening.STREAM,
            url=settings.REDIS_URL,
            shards=settings.TIMESERIES_SHARDS,
            encode=encode_items,
            settle=opening.settle,
            limits=CommitLimits(
                stream_max_bytes=settings.STREAM_MAX_BYTES,
                deadline_s=env.value("INGEST_DEADLINE_S"),
            ),
        )
        self.reach: Reach = opening.new_reach()
        self.lag_s: float | None = None
        self._streams = opening.open_streams(open_redis(settings.REDIS_URL, timeout_s=_HEALTH_S))

    async def start(self) -> None:
        """Connect; goes on without the stores, and answers 503 until they are there."""
        self.loop = asyncio.get_running_loop()
        await self.commit.start()
        self.reader: StoreReader = await opening.open_reader()
        self.exports = Exports(self.reader, most=_EXPORTS_MOST)
        self._questions = Questions(
            reader=self.reader,
            reach=self.reach,
            most=_QUESTIONS_MOST,
            # The store keeps to its own limit; this one is for what is done with its answer.
            timeout_s=2 * settings.TIMESERIES_READ_S,
        )
        self._watching = self.loop.create_task(self._watch())
        Measurements.running = self

    def add_routes(self, table: RouteTable, guard: Guard) -> None:
        """Add the durable writes behind the guard, and the reads. To be called once started."""
        doors = SaveDoors(self.commit.submit, opening.new_acceptance())
        table.write(b"POST", b"/save", guard.protect(doors.save))
        table.write(b"POST", b"/save/batch", guard.protect(doors.batch))
        questions = self._questions
        table.later(b"GET", b"/api", questions.sample)
        table.later(b"GET", b"/api/tags", questions.tags)
        table.later(b"GET", b"/api/grafana/rows", questions.grafana_rows)
        table.write(b"POST", b"/api/grafana/metrics", questions.grafana_metrics)
        table.write(b"POST", b"/api/grafana/search", questions.grafana_metrics)
        table.write(b"POST", b"/api/grafana/query", questions.grafana_query)

    async def stop(self) -> None:
        """Answer what was taken, then close. Nothing may arrive any more."""
        Measurements.running = None
        self._watching.cancel()
        await self._questions.stop()
        await self.commit.stop()
        await self.reader.close()

    async def _watch(self) -> None:
        """Look once a second how old the oldest entry is that the writer has not stored yet."""
        while True:
            try:
                self.lag_s = await asyncio.to_thread(_lag_s, self._streams)
            except (redis.RedisError, OSError) as error:
                log.debug("the lag of the time series is unknown: %s", error)
                self.lag_s = None
            set_lag(self.lag_s)
            await asyncio.sleep(_WATCH_S)

    def reasons(self) -> list[str]:
        """Why this worker cannot serve time series, if so. For threads other than the loop's."""
        reasons = []
        if self.commit.failure is not None:
            reasons.append("redis: does not take measurements")
        try:
            asking = asyncio.run_coroutine_threadsafe(self.reader.health(), self.loop)
            if not asking.result(_HEALTH_S).ok:
                reasons.append(f"{settings.TIMESERIES_STORE}: does not answer questions")
        except TimeoutError:
            asking.cancel()
            reasons.append(f"{settings.TIMESERIES_STORE}: does not answer questions in time")
        return reasons

    def state(self) -> dict[str, Any]:
        """What `/readyz` shows: the store, and how many seconds it is behind, None if unknown."""
        lag_s = self.lag_s
        return {
            "store": settings.TIMESERIES_STORE,
            "lag_s": None if lag_s is None else round(lag_s, 3),
        }


def _lag_s(streams: list[Stream]) -> float:
    oldest_ms = [each for stream in streams if (each := stream.oldest_ms()) is not None]
    return max(0.0, time.time() - min(oldest_ms) / 1000) if oldest_ms else 0.0


def export_view(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/export`. For threads other than the loop's."""
    running = Measurements.running
    if running is None:
        return _busy("server: is not serving yet")
    query = str(request.META.get("QUERY_STRING", "")).encode()
    try:
        asked = read_export_query(query, running.reach)
        export = _begin_export(running, asked)
    except InvalidQueryError as error:
        return response_of(error_answer(400, str(error)))
    except UnknownTagError as error:
        return response_of(error_answer(404, str(error)))
    except ExportsBusyError as error:
        return _busy(str(error))
    except (StoreAwayError, TimeoutError):
        return _busy("store: does not answer, or not in time")
    # Django calls its `close` when the answer is over.
    return StreamingHttpResponse(export, content_type=export.content_type)


def _begin_export(running: Measurements, asked: ExportQuery) -> Export:
    beginning = asyncio.run_coroutine_threadsafe(running.exports.begin(asked), running.loop)
    try:
        return beginning.result(_BEGIN_EXPORT_S)
    except TimeoutError:
        beginning.cancel()
        raise


def _busy(msg: str) -> HttpResponseBase:
    return response_of(error_answer(503, msg, retry_after_s=RETRY_AFTER_S))
