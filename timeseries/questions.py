"""The reads: `GET /api` and its kin, answered from the store without blocking the event loop.

Each takes a `HotRequest` and replies later. A worker has a bounded number of them under way, each
with a time limit; beyond either the answer is 503, and the client may ask again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice
from logging import getLogger

import msgspec

from runtime.http.answer import Answer
from runtime.http.errors import INTERNAL_ERROR, error_answer
from runtime.http.routes import HotRequest, Reply
from timeseries import grafana
from timeseries.queries import InvalidQueryError, Reach, read_query
from timeseries.records import Sample, Series, StoreAwayError, UnknownTagError
from timeseries.stores.base import StoreReader

log = getLogger(__name__)

# So many numbers are written at once before others get their turn: a millisecond or two.
_NUMBERS_AT_ONCE = 10_000
# And so many in one answer for Grafana, which may ask for many tags: 20 MB of text, at the worst.
_NUMBERS_MOST = 1_000_000
_BUSY = error_answer(503, "server: too many questions are being answered already", retry_after_s=1)
_AWAY = error_answer(503, "store: does not answer, or not in time", retry_after_s=1)
_SLOW = error_answer(503, "store: did not answer in time", retry_after_s=1)
_STOPPING = error_answer(503, "server: is stopping", retry_after_s=1)
_encode = msgspec.json.Encoder().encode

# What works an answer out; raises the errors that `Questions` knows how to word.
Work = Callable[[HotRequest], Awaitable[Answer]]


class Questions:
    """Asks the store, at most `most` questions at a time, none longer than `timeout_s`."""

    def __init__(self, *, reader: StoreReader, reach: Reach, most: int, timeout_s: float) -> None:
        self._reader = reader
        self._reach = reach
        self._most = most
        self._timeout_s = timeout_s
        self._asked: set[asyncio.Task[None]] = set()
        self._stopping = False

    # -- the handlers, all of the form (request, reply) -----------------------------------------

    def sample(self, request: HotRequest, reply: Reply) -> None:
        """`GET /api`: 200 with the samples; 400 that names the parameter, 404, 503."""
        self._begin(self._sample, request, reply)

    def tags(self, request: HotRequest, reply: Reply) -> None:
        """`GET /api/tags`: 200 with `tag`, `first`, `last` and `count` of every tag; 503."""
        self._begin(self._tags, request, reply)

    def grafana_rows(self, request: HotRequest, reply: Reply) -> None:
        """`GET /api/grafana/rows`: samples of some tags as flat rows."""
        self._begin(self._grafana_rows, request, reply)

    def grafana_metrics(self, request: HotRequest, reply: Reply) -> None:
        """`POST /api/grafana/metrics` and `/search`: the tags that can be asked for."""
        self._begin(self._grafana_metrics, request, reply)

    def grafana_query(self, request: HotRequest, reply: Reply) -> None:
        """`POST /api/grafana/query`: a panel's targets as datapoints."""
        self._begin(self._grafana_query, request, reply)

    # -- what they do ---------------------------------------------------------------------------

    async def _sample(self, request: HotRequest) -> Answer:
        query = read_query(request.query, self._reach)
        return Answer(200, await encode_series(await self._reader.sample(query)))

    async def _tags(self, request: HotRequest) -> Answer:
        rows = (
            {"tag": each.tag, "first": each.first_ns, "last": each.last_ns, "count": each.count}
            for each in await self._reader.tags()
        )
        pieces = await encode_pieces(rows, _NUMBERS_AT_ONCE // 4)
        return Answer(200, b'{"tags":[%b]}' % b",".join(pieces))

    async def _grafana_rows(self, request: HotRequest) -> Answer:
        pieces, room = list[bytes](), _Room()
        for query in grafana.read_rows_query(request.query, self._reach):
            series = await self._reader.sample(query)
            room.take(_numbers(series))
            at_once = max(1, _NUMBERS_AT_ONCE // _width(series.samples))
            pieces += await encode_pieces(grafana.rows(series), at_once)
        return Answer(200, b"[%b]" % b",".join(pieces))

    async def _grafana_metrics(self, request: HotRequest) -> Answer:
        return Answer(200, _encode([each.tag for each in await self._reader.tags()]))

    async def _grafana_query(self, request: HotRequest) -> Answer:
        entries, room = list[bytes](), _Room()
        for asked in grafana.read_panel(request.body, self._reach):
            series = await self._reader.sample(asked.query)
            room.take(_numbers(series, asked.element))
            for name, pairs in grafana.lines(asked, series):
                pieces = await encode_pieces(pairs, _NUMBERS_AT_ONCE // 2)
                entry = b'{"target":%b,"datapoints":[%b]}' % (_encode(name), b",".join(pieces))
                entries.append(entry)
        return Answer(200, b"[%b]" % b",".join(entries))

    # -- how they are kept within bounds --------------------------------------------------------

    def _begin(self, work: Work, request: HotRequest, reply: Reply) -> None:
        if self._stopping:
            reply(_STOPPING)
        elif len(self._asked) >= self._most:
            reply(_BUSY)
        else:
            task = asyncio.get_running_loop().create_task(self._answer(work, request, reply))
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)

    async def _answer(self, work: Work, request: HotRequest, reply: Reply) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await work(request)
        except InvalidQueryError as error:
            answer = error_answer(400, str(error))
        except UnknownTagError as error:
            answer = error_answer(404, str(error))
        except StoreAwayError as error:
            # What the store says of itself, such as its address, is for us only.
            log.warning("a question was not answered: %s", error)
            answer = _AWAY
        except TimeoutError:
            answer = _SLOW
        except Exception:
            log.exception("Exception in the answer to a question")
            answer = INTERNAL_ERROR
        reply(answer)

    async def stop(self) -> None:
        """Refuse what comes now, and answer what was asked."""
        self._stopping = True
        if self._asked:
            await asyncio.wait(self._asked)


class _Room:
    """How many numbers may still come into one answer."""

    def __init__(self) -> None:
        self._numbers = _NUMBERS_MOST

    def take(self, numbers: int) -> None:
        """So many more. InvalidQueryError when there is no room left."""
        self._numbers -= numbers
        if self._numbers < 0:
            raise InvalidQueryError(
                f"samples: more than {_NUMBERS_MOST} values at once; ask for fewer, or fewer tags"
            )


def _numbers(series: Series, element: int | None = None) -> int:
    """How many numbers of a series are written: of all elements, or of one."""
    widths = [len(each.values) for each in series.samples if each.values]
    return sum(widths) if element is None else sum(width >= element for width in widths)


def _width(samples: Iterable[Sample]) -> int:
    return max((len(each.values) for each in samples if each.values), default=1)


async def encode_series(series: Series) -> bytes:
    """The answer in JSON, piece by piece where it is long, so that nobody waits for all of it."""
    samples = series.samples
    at_once = max(1, _NUMBERS_AT_ONCE // _width(samples))
    if len(samples) <= at_once:
        return _encode(series)
    pieces = await encode_pieces(iter(samples), at_once)
    head = _encode(Series(series.tag_name, series.start, series.end, []))
    return b"".join((head.removesuffix(b"]}"), b",".join(pieces), b"]}"))


async def encode_pieces(entries: Iterator[object], at_once: int) -> list[bytes]:
    """The entries of an array in JSON, `at_once` of them in a piece, with turns for others between
    the pieces.
    """
    pieces = []
    while piece := list(islice(entries, at_once)):
        pieces.append(_encode(piece)[1:-1])
        await asyncio.sleep(0)
    return pieces
