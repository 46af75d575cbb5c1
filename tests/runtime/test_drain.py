"""The drain over a real Redis and PostgreSQL: each batch counts once, wherever it was cut off."""

import os
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import redis
from django.conf import settings

from runtime.drain import DrainLimits, forget_writers
from runtime.redis_where import open_redis
from runtime.stream import Appender, Stream, append_words, new_writer
from tests.runtime.streams import Sink, new_sink, open_stream

# Of this process alone: a drain's lock is the database's, which the suite's workers share here.
KEY = f"adhouse:{{drain-tests-{os.getpid()}:0}}:log"


@pytest.fixture
def stream() -> Iterator[Stream]:
    client = open_redis(settings.REDIS_URL)
    client.delete(KEY)
    yield Stream(client, KEY)
    client.delete(KEY)
    client.close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    yield from new_sink(settings.DATABASE_URL)


def add(writer: bytes, seq: int, payload: str) -> bytes:
    client: Any = open_redis(settings.REDIS_URL)
    entry_id: bytes = client.execute_command(*append_words(KEY, writer, seq, payload.encode()))
    client.close()
    return entry_id


class CrashError(Exception):
    """The drainer ends here."""


def test_what_was_applied_is_removed(stream: Stream, sink: Sink) -> None:
    writer = new_writer()
    add(writer, 1, "a,b")
    last = add(writer, 2, "c")
    drained = sink.drain(stream)
    assert (drained.applied, drained.repeated, drained.trimmed, drained.more) == (2, 0, True, False)
    assert drained.at_ms == int(last.partition(b"-")[0])
    assert sink.items() == ["a", "b", "c"]
    assert stream.length() == 0
    assert sink.drain(stream).at_ms is None


def test_a_batch_that_was_sent_twice_counts_once(stream: Stream, sink: Sink) -> None:
    one, two = new_writer(), new_writer()
    for writer, seq, payload in ((one, 1, "a"), (two, 1, "b"), (one, 1, "a"), (one, 2, "c")):
        add(writer, seq, payload)
    drained = sink.drain(stream)
    assert (drained.applied, drained.repeated) == (3, 1)
    add(one, 1, "a")
    add(one, 2, "c")
    add(two, 2, "d")
    drained = sink.drain(stream)
    assert (drained.applied, drained.repeated) == (1, 2)
    assert sink.items() == ["a", "b", "c", "d"]


def test_a_crash_before_the_commit_leaves_everything(stream: Stream, sink: Sink) -> None:
    def crash(cursor: psycopg.Cursor[Any], entries: list[Any]) -> None:
        sink.apply(cursor, entries)
        raise CrashError

    add(new_writer(), 1, "a")
    with pytest.raises(CrashError):
        sink.drain(stream, apply=crash)
    assert (sink.items(), sink.seqs(), stream.length()) == ([], [], 1)
    sink.drain(stream)
    assert (sink.items(), stream.length()) == (["a"], 0)


def test_a_crash_after_the_commit_doubles_nothing(
    stream: Stream, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(first_id: bytes, last_id: bytes) -> bool:
        raise CrashError

    add(new_writer(), 1, "a")
    with monkeypatch.context() as patch:
        patch.setattr(stream, "trim", crash)
        with pytest.raises(CrashError):
            sink.drain(stream)
    assert (sink.items(), stream.length()) == (["a"], 1)
    drained = sink.drain(stream)
    assert (drained.applied, drained.repeated) == (0, 1)
    assert (sink.items(), stream.length()) == (["a"], 0)


def test_a_redis_that_goes_away_before_the_trim_doubles_nothing(
    stream: Stream, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(first_id: bytes, last_id: bytes) -> bool:
        raise redis.ConnectionError("gone")

    add(new_writer(), 1, "a")
    with monkeypatch.context() as patch:
        patch.setattr(stream, "trim", away)
        assert not sink.drain(stream).trimmed
    add(new_writer(), 1, "b")
    sink.drain(stream)
    assert (sink.items(), stream.length()) == (["a", "b"], 0)


def test_while_one_drains_the_other_stands_by(stream: Stream, sink: Sink) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(cursor: psycopg.Cursor[Any], entries: list[Any]) -> None:
        inside.set()
        assert go_on.wait(60)
        sink.apply(cursor, entries)

    add(new_writer(), 1, "a")
    first = threading.Thread(target=sink.drain, args=(stream,), kwargs={"apply": slow})
    first.start()
    assert inside.wait(60)
    assert sink.drain(open_stream(settings.REDIS_URL, KEY)).standby
    go_on.set()
    first.join()
    assert sink.items() == ["a"]


def test_a_drainer_that_stands_still_loses_everything_and_is_replaced(
    stream: Stream, sink: Sink
) -> None:
    def stand_still(cursor: psycopg.Cursor[Any], entries: list[Any]) -> None:
        sink.apply(cursor, entries)
        with sink.connect() as other:
            pid = cursor.connection.info.backend_pid
            while other.execute("SELECT FROM pg_stat_activity WHERE pid = %s", (pid,)).rowcount:
                pass
        # It was replaced meanwhile.
        sink.drain(open_stream(settings.REDIS_URL, KEY))

    add(new_writer(), 1, "a")
    with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
        sink.drain(stream, apply=stand_still, limits=DrainLimits(idle_ms=50))
    assert (sink.items(), stream.length()) == (["a"], 0)


def test_limits_bound_one_transaction(stream: Stream, sink: Sink) -> None:
    writer = new_writer()
    for seq in range(1, 51):
        add(writer, seq, "x" * 100)
    drained = sink.drain(stream, limits=DrainLimits(entries=20))
    assert (drained.applied, drained.more, stream.length()) == (20, True, 30)
    # Sixteen are read at first, whatever they weigh.
    drained = sink.drain(stream, limits=DrainLimits(payload_bytes=1000))
    assert (drained.applied, drained.more, stream.length()) == (16, True, 14)
    drained = sink.drain(stream)
    assert (drained.applied, drained.more, stream.length()) == (14, False, 0)


def test_what_no_writer_of_ours_wrote_is_handed_on(stream: Stream, sink: Sink) -> None:
    client = open_redis(settings.REDIS_URL)
    client.xadd(KEY, {"name": "value"})
    client.close()
    seen: list[Any] = []
    sink.drain(stream, apply=lambda _, entries: seen.extend(entries))
    assert [(entry.writer, entry.payload) for entry in seen] == [(b"", b"name: value")]
    assert stream.length() == 0


def test_a_stream_that_was_replaced_is_not_trimmed(stream: Stream) -> None:
    first, last = add(new_writer(), 1, "a"), add(new_writer(), 1, "b")
    client: Any = open_redis(settings.REDIS_URL)
    client.xdel(KEY, first)
    assert not stream.trim(first, last)
    client.delete(KEY)
    # Redis's clock went back: what came since has smaller numbers than what was read.
    client.xadd(KEY, {"w": "w", "s": "1", "b": "c"}, id="5-0")
    assert not stream.trim(first, last)
    assert not stream.trim(b"5-0", last)
    assert stream.length() == 1
    assert stream.trim(b"5-0", b"5-0")
    assert stream.length() == 0
    client.close()


def test_settling_what_was_applied(stream: Stream, sink: Sink) -> None:
    writer = new_writer()
    add(writer, 1, "a")
    sink.drain(stream)
    assert sink.settle(KEY, writer, 1)
    assert sink.items() == ["a"]


def test_settling_what_was_not_applied_keeps_just_that_out(stream: Stream, sink: Sink) -> None:
    writer = new_writer()
    assert not sink.settle(KEY, writer, 1)
    assert not sink.settle(KEY, writer, 1)
    add(writer, 1, "a")
    # Acknowledged, and still in the stream when the next one is refused: it counts.
    add(writer, 2, "b")
    assert not sink.settle(KEY, writer, 3)
    add(writer, 3, "c")
    drained = sink.drain(stream)
    assert (drained.applied, drained.repeated) == (1, 2)
    assert sink.items() == ["b"]
    add(writer, 3, "c")
    add(writer, 4, "d")
    sink.drain(stream)
    assert sink.items() == ["b", "d"]


def test_refusals_that_are_all_that_is_there(stream: Stream, sink: Sink) -> None:
    writer = new_writer()
    add(writer, 1, "a")
    sink.drain(stream)
    assert not sink.settle(KEY, writer, 2)
    add(writer, 2, "b")
    assert sink.drain(stream).applied == 0
    add(writer, 2, "b")
    assert sink.drain(stream).repeated == 1
    assert sink.items() == ["a"]


def test_settling_waits_for_the_drain_that_is_at_it(stream: Stream, sink: Sink) -> None:
    writer = new_writer()
    add(writer, 1, "a")
    decided: list[bool] = []
    settler = threading.Thread(target=lambda: decided.append(sink.settle(KEY, writer, 1)))

    def meanwhile(cursor: psycopg.Cursor[Any], entries: list[Any]) -> None:
        settler.start()
        with sink.connect() as other:
            query = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ %s"
            while not other.execute(query, (sink.tables.writer,)).rowcount:
                assert settler.is_alive()
        sink.apply(cursor, entries)

    sink.drain(stream, apply=meanwhile)
    settler.join()
    assert (decided, sink.items()) == ([True], ["a"])


def test_writers_are_forgotten_once_nothing_of_theirs_can_wait(stream: Stream, sink: Sink) -> None:
    old, waiting = new_writer(), new_writer()
    add(old, 1, "a")
    sink.drain(stream)
    with sink.connect() as connection:

        def forget(hours: int) -> int:
            return forget_writers(
                connection=connection, stream=stream, tables=sink.tables, hours=hours
            )

        assert forget(48) == 0
        age = f"UPDATE {sink.tables.writer} SET updated_at = now() - interval '3 days'"
        connection.execute(age)
        client: Any = open_redis(settings.REDIS_URL)
        client.delete(KEY)
        client.xadd(KEY, {"w": waiting, "s": "1", "b": "b"}, id="1-1")
        assert forget(48) == 0
        sink.drain(stream)
        connection.execute(age)
        add(waiting, 2, "c")
        assert forget(48) == 2
        client.close()


def test_a_command_appends_as_workers_do(stream: Stream, sink: Sink) -> None:
    client = open_redis(settings.REDIS_URL)
    appender = Appender(client, KEY)
    appender.append(b"a")
    appender.append(b"b")
    entries = stream.read(10, 10**6)
    assert [entry.seq for entry in entries] == [1, 2]
    assert stream.oldest_ms() == entries[0].at_ms
    sink.drain(stream)
    assert sink.items() == ["a", "b"]
    assert (stream.length(), stream.oldest_ms(), stream.size_bytes() < 1000) == (0, None, True)
    client.close()
