"""chili with its log: what it answered it still knows after `kill -9`, and all counts once."""

import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from devstack.errors import StackError
from runtime.stream import Stream
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.stack import wait_until
from tests.timeseries.chili import Chili
from tests.timeseries.store_cases import Case, StoreUnderTest, open_store
from tests.timeseries.strategies import EPOCH_NS
from timeseries.records import Measurement, Query, StoreAwayError
from timeseries.stores.base import GRACE_NS
from timeseries.stores.kdb import KdbReader, KdbWriter

TABLES = (".ts.measurement", ".ts.writers", ".ts.streams", ".ts.no", ".ts.refusals")
# A function that never comes back, to die in; the log is written and synced before.
HANGS = ".ts.apply:{[call] .ts.stuck:1b; .os.sleep 60000; 1b}; 1"


@pytest.fixture(scope="module")
def server() -> Iterator[Chili]:
    """A server with a log, to kill."""
    with Chili(logged=True) as running:
        running.init()
        yield running


@pytest.fixture
def chili(server: Chili) -> Chili:
    """It, started again, in case a test has broken it."""
    server.again()
    return server


@pytest.fixture
def store(chili: Chili) -> Iterator[StoreUnderTest]:
    yield from open_store("kdb", KdbWriter([chili.url]), KdbReader(chili.url, limit_s=10, most=1))


@pytest.fixture
def case(store: StoreUnderTest) -> Case:
    return store.case()


def put(case: Case, *rows: tuple[int, float]) -> None:
    case.append([Measurement(EPOCH_NS + at, case.tag("a"), [value]) for at, value in rows])


def asked(case: Case) -> list[float | None]:
    """The values at 1, 2 and 3."""
    answer = case.ask(Query(case.tag("a"), EPOCH_NS, EPOCH_NS + 3, 3))
    return [None if sample.values is None else sample.values[0] for sample in answer.samples]


def start(case: Case, chili: Chili) -> None:
    """Start what was killed; a connection is found to be dead once."""
    chili.start()
    case.store.writer.close()
    with suppress(StoreAwayError):
        case.store.runner.run(case.store.reader.tags())


def restart(case: Case, chili: Chili) -> None:
    chili.kill()
    start(case, chili)


def told(chili: Chili, *names: str) -> list[Any]:
    with closing(chili.link()) as link:
        return [link.call(name) for name in names]


def tables(chili: Chili) -> list[Any]:
    found = told(chili, *TABLES)
    return [each.to_dicts() if hasattr(each, "to_dicts") else each for each in found]


@pytest.fixture
def trim_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer dies before it trims the stream."""
    monkeypatch.setattr(Stream, "trim", lambda *_: False)


def test_after_a_kill_all_is_as_it_was(case: Case, chili: Chili, trim_is_late: None) -> None:
    put(case, (1, 1.0), (2, 2.0))
    case.drain()
    put(case, (2, 20.0), (3, 3.0))
    assert not case.store.writer.settle(case.key, b"w" * 16, 7)
    case.drain()
    before = tables(chili)
    assert asked(case) == [1.0, 20.0, 3.0]
    restart(case, chili)
    assert tables(chili) == before
    assert asked(case) == [1.0, 20.0, 3.0]
    # All of the stream is handed over again.
    drained = case.drain()
    assert (drained.applied, drained.repeated) == (0, 2)
    assert [count for *_, count in case.tags()] == [3]
    assert not case.store.writer.settle(case.key, b"w" * 16, 7)
    assert case.store.writer.settle(case.key, case.writer, 2)


def test_killed_between_log_and_tables(case: Case, chili: Chili) -> None:
    put(case, (1, 1.0))
    case.drain()
    put(case, (2, 2.0))
    told(chili, HANGS, ".ts.stuck:0b; 1")
    failures: list[StoreAwayError] = []

    def fail() -> None:
        try:
            case.drain()
        except StoreAwayError as error:
            failures.append(error)

    drainer = threading.Thread(target=fail)
    drainer.start()
    wait_until(lambda: told(chili, ".ts.stuck") == [True], timeout_s=10, what="it is in the log")
    assert asked(case) == [1.0, 1.0, 1.0]
    chili.kill()
    drainer.join()
    assert len(failures) == 1
    start(case, chili)
    assert asked(case) == [1.0, 2.0, 2.0]
    drained = case.drain()
    assert (drained.applied, drained.repeated, drained.trimmed) == (0, 1, True)
    assert [count for *_, count in case.tags()] == [2]


@pytest.mark.parametrize("left", [1, 8, 17, -1])
def test_a_torn_entry_was_never_answered(
    case: Case, chili: Chili, trim_is_late: None, left: int
) -> None:
    """`left`: how many bytes of the last entry got to the disk, or how many did not."""
    put(case, (1, 1.0))
    case.drain()
    whole_bytes = chili.log.stat().st_size
    put(case, (2, 2.0))
    case.drain()
    chili.kill()
    with chili.log.open("r+b") as log:
        log.truncate((whole_bytes if left > 0 else chili.log.stat().st_size) + left)
    start(case, chili)
    assert asked(case) == [1.0, 1.0, 1.0]
    drained = case.drain()
    assert (drained.applied, drained.repeated) == (1, 1)
    restart(case, chili)
    assert asked(case) == [1.0, 2.0, 2.0]
    assert [count for *_, count in case.tags()] == [2]


def test_an_entry_that_cannot_be_read_is_no_empty_answer(case: Case, chili: Chili) -> None:
    put(case, (1, 1.0))
    case.drain()
    chili.kill()
    whole = chili.log.read_bytes()
    chili.log.write_bytes(whole[:60] + b"\xff" * 8 + whole[68:])
    with pytest.raises(StackError):
        chili.start()
    chili.kill()
    chili.log.write_bytes(whole)
    start(case, chili)
    assert asked(case) == [1.0, 1.0, 1.0]


def test_nobody_is_answered_before_the_log_is_read(case: Case, chili: Chili) -> None:
    put(case, (1, 1.0))
    case.drain()
    put(case, (2, 2.0))
    told(chili, ".ts.ready:0b; 1")
    reader, writer = case.store.reader, case.store.writer
    run = case.store.runner.run
    questions = [
        lambda: case.ask(Query(case.tag("a"), EPOCH_NS, EPOCH_NS + 3, 3)),
        lambda: case.ask(Query(case.tag("a"), EPOCH_NS, EPOCH_NS + 3, 3, "mean")),
        lambda: case.exported(case.tag("a"), EPOCH_NS, EPOCH_NS + 3),
        lambda: run(reader.tags()),
        case.drain,
        lambda: writer.settle(case.key, case.writer, 2),
        lambda: writer.retain(oldest_ns=0, newest_ns=0, streams=[]),
    ]
    for question in questions:
        with pytest.raises(StoreAwayError):
            question()
    assert not run(reader.health()).ok
    told(chili, ".ts.ready:1b; 1")
    assert case.drain().applied == 1
    assert asked(case) == [1.0, 2.0, 2.0]


@pytest.mark.parametrize("trouble", [".handle.close .ts.handle", ".ts.sound:0b; 1"])
def test_a_log_that_failed_is_opened_again(case: Case, chili: Chili, trouble: str) -> None:
    put(case, (1, 1.0))
    case.drain()
    put(case, (2, 2.0))
    told(chili, trouble)
    if "close" in trouble:
        with pytest.raises(StoreAwayError):
            case.drain()
    assert case.drain().applied == 1
    restart(case, chili)
    assert asked(case) == [1.0, 2.0, 2.0]


def test_an_entry_that_could_not_be_synced_counts_once(case: Case, chili: Chili) -> None:
    """It is in the log whole, and its writer was told that it is not."""
    writer = b"w" * 16
    call = f"(`.ts.settling;`{case.key};`{writer.hex()};7;0#.ts.writers)"
    refusals, applied = told(chili, ".ts.refusals", ".ts.applied")
    told(chili, f".ts.sound:0b; .ts.handle (`.ts.apply;{call})")
    put(case, (1, 1.0))
    assert case.drain().standby
    assert told(chili, ".ts.refusals", ".ts.applied") == [refusals + 1, applied + 1]
    assert case.drain().applied == 1
    before = tables(chili)
    restart(case, chili)
    assert tables(chili) == before


def test_what_cannot_be_applied_is_not_in_the_log(case: Case, chili: Chili) -> None:
    size_bytes = chili.log.stat().st_size
    with closing(chili.link()) as link:
        wrong = link.call(".ts.streams")
        with pytest.raises(StoreAwayError):
            link.call(
                ".ts.write", case.key, link.call(".ts.version", case.key), wrong, wrong, wrong
            )
    assert chili.log.stat().st_size == size_bytes
    restart(case, chili)


def test_the_log_begins_anew_when_most_of_it_is_past(case: Case, chili: Chili) -> None:
    def retain(oldest_ns: int) -> None:
        writer = case.store.writer
        writer.retain(oldest_ns=oldest_ns + GRACE_NS, newest_ns=oldest_ns, streams=[case.stream])

    retain(EPOCH_NS + 2**40)
    for first in range(1, 5000, 100):
        put(case, *((each, float(each)) for each in range(first, first + 100)))
    case.drain_all()
    full_bytes = chili.log.stat().st_size
    retain(EPOCH_NS)
    assert chili.log.stat().st_size > full_bytes
    retain(EPOCH_NS + 4990)
    assert chili.log.stat().st_size < full_bytes / 5
    put(case, (5001, 1.0))
    case.drain_all()
    # One that was killed before the new log took the old one's place.
    chili.log.with_name(f"{chili.log.name}.new").write_bytes(b"\xff\0\0\0")
    before = tables(chili)
    restart(case, chili)
    assert tables(chili) == before
    retain(EPOCH_NS + 5001)
    put(case, (5002, 2.0))
    case.drain_all()
    before = tables(chili)
    restart(case, chili)
    assert tables(chili) == before
    assert case.exported(case.tag("a"), EPOCH_NS, EPOCH_NS + 10_000) == [
        (EPOCH_NS + 5001, [1.0]),
        (EPOCH_NS + 5002, [2.0]),
    ]


@pytest.mark.drill
@pytest.mark.xdist_group("disk")
def test_a_full_disk_delays() -> None:
    """Also a new log that finds no room: it goes, and the old one stays."""
    chili = Chili(logged=True)
    with small_disk(chili.log.parent, size_mb=8) as disk:
        try:
            chili.start()
            chili.init()
            writer = KdbWriter([chili.url])
            for store in open_store("kdb", writer, KdbReader(chili.url, limit_s=10, most=1)):
                on_a_full_disk(store.case(), chili, disk)
        finally:
            chili.kill()
    chili.stop()


def on_a_full_disk(case: Case, chili: Chili, disk: SmallDisk) -> None:
    def retain(oldest_ns: int) -> None:
        case.store.writer.retain(oldest_ns=oldest_ns + GRACE_NS, newest_ns=0, streams=[])

    put(case, *((each, float(each)) for each in range(1, 2001)))
    disk.fill()
    with pytest.raises(StoreAwayError, match="No space left"):
        case.drain()
    assert case.stream.length() == 1
    disk.free()
    assert case.drain().applied == 1
    disk.fill()
    with pytest.raises(StoreAwayError, match="No space left"):
        retain(EPOCH_NS + 1500)
    disk.free()
    put(case, (2001, 1.0))
    assert case.drain().applied == 1
    assert not chili.log.with_name(f"{chili.log.name}.new").exists()
    retain(EPOCH_NS + 1501)
    before = tables(chili)
    restart(case, chili)
    assert tables(chili) == before
    assert [count for *_, count in case.tags()] == [501]


def test_changes_at_the_same_time_take_turns(store: StoreUnderTest, chili: Chili) -> None:
    """chili does the calls of several connections at once."""
    cases = [store.case() for _ in range(4)]
    rounds = range(1, 11)

    def write(case: Case) -> None:
        with closing(KdbWriter([chili.url])) as writer:
            for number in rounds:
                put(case, (number, float(number)))
                while case.stream.length():
                    writer.drain(case.stream)  # Nothing, when another's batch was refused.
                assert not writer.settle(case.key, number.to_bytes(16, "big"), 1)

    threads = [threading.Thread(target=write, args=(case,)) for case in cases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for case in cases:
        assert [count for *_, count in case.tags()] == [len(rounds)]
        assert store.writer.settle(case.key, case.writer, len(rounds))
        with closing(chili.link()) as link:
            assert len(link.call(".ts.known", case.key)) == len(rounds) + 1
    before = tables(chili)
    chili.again()
    assert tables(chili) == before
