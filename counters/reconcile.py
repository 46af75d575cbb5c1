"""The reconciler: compares the cached totals with PostgreSQL's, slice by slice, and repairs.

PostgreSQL is right by definition. What differs is one of two things. A *delay*: a transaction is
committed and not yet written through, or written through since we looked. A *difference*: the
cache says less although everything that PostgreSQL had committed was published, or more than
PostgreSQL has even when asked again. Differences are removed; the next read fetches the truth.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from logging import getLogger
from typing import Any

from django.db import connection

from counters.figures import add_figures
from counters.totals import KEY_PREFIX, TotalsCache, View, streams, total_key

log = getLogger(__name__)

SLICE = 1_000
_POSITION_KEY = "adhouse:counters:reconcile"
_TOTALS_SQL = "SELECT uuid_send(key), value FROM counters_counter WHERE key = ANY(%s::uuid[])"
_NUMBERS_SQL = "SELECT stream, number FROM counters_totalspass"


@dataclass
class Reconciled:
    """What was compared: `checked` totals of the current epoch, of which `delayed` were behind
    for now and `different` were wrong, and removed. `whole`: every cached total has been seen.
    """

    checked: int = 0
    delayed: int = 0
    different: int = 0
    whole: bool = False


def reconcile(cache: TotalsCache, *, slices: int | None = None) -> Reconciled:
    """Go on where the last run ended, for at most so many slices; to the end when None.

    redis.RedisError and django.db.OperationalError when a store is away.
    """
    done = Reconciled()
    _check_numbers(cache)
    for keys, position in _slices(cache, slices):
        _compare(cache, keys, done)
        cache.client.set(_POSITION_KEY, position)
        done.whole = position == 0
    add_figures(cache.client, delayed=done.delayed, different=done.different)
    return done


def _check_numbers(cache: TotalsCache) -> None:
    """Begin anew when the cache is ahead of PostgreSQL's numbers: that was restored from a backup,
    or replaced by a standby that lacked its last transactions.
    """
    marks = cache.read([]).marks
    numbers = _numbers()
    ahead = [stream for stream, mark in marks.items() if mark.number > numbers.get(stream, 0)]
    if ahead:
        log.warning("the cache of totals is ahead of the database: %s", ", ".join(ahead))
        cache.forget()


def _slices(cache: TotalsCache, most: int | None) -> Iterator[tuple[list[bytes], int]]:
    """Cached counters, a slice at a time, with the position after it; 0 is the end."""
    position = int(cache.client.get(_POSITION_KEY) or 0) if most is not None else 0
    done = 0
    while most is None or done < most:
        position, names = cache.client.scan(position, match=f"{KEY_PREFIX}*", count=SLICE)
        yield [bytes.fromhex(name.decode().removeprefix(KEY_PREFIX)) for name in names], position
        done += 1
        if position == 0:
            break


def _compare(cache: TotalsCache, keys: list[bytes], done: Reconciled) -> None:
    if not keys:
        return
    # In this order: what was committed before the cache is read must be in it, once published.
    numbers, before = _numbers(), _stored(keys)
    view = cache.read(keys)
    values = {key: view.value(position) for position, key in enumerate(keys)}
    cached = {key: value for key, value in values.items() if value is not None}
    suspects = [key for key, value in cached.items() if value != before.get(key, 0)]
    # And what the cache says, PostgreSQL had committed before: so it is asked again.
    after = _stored(suspects) if suspects else {}
    published = _published(view, numbers)
    wrong = [
        key
        for key in suspects
        if cached[key] > after.get(key, 0) or (published and cached[key] < before.get(key, 0))
    ]
    done.checked += len(cached)
    done.delayed += len(suspects) - len(wrong)
    if wrong:
        done.different += len(wrong)
        _repair(cache, view, keys, wrong)


def _published(view: View, numbers: dict[str, int]) -> bool:
    """Whether the cache has every transaction up to those numbers."""
    return all(
        stream in view.marks and view.marks[stream].number >= numbers.get(stream, 0)
        for stream in streams()
    )


def _repair(cache: TotalsCache, view: View, keys: list[bytes], wrong: list[bytes]) -> None:
    positions = {key: position for position, key in enumerate(keys)}
    found = {total_key(key): raw for key in wrong if (raw := view.raw[positions[key]]) is not None}
    removed = cache.remove(found)
    log.error(
        "%d cached totals were wrong, %d of them removed, such as %s",
        len(wrong),
        removed,
        wrong[0].hex(),
    )


def _stored(keys: list[bytes]) -> dict[bytes, int]:
    rows = _query(_TOTALS_SQL, ([key.hex() for key in keys],))
    return {bytes(key): value for key, value in rows}


def _numbers() -> dict[str, int]:
    return dict(_query(_NUMBERS_SQL, ()))


def _query(sql: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
