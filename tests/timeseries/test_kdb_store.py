"""What only the kdb+ store has: two processes, one that is away, and its functions and tables."""

import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.timeseries.chili import Chili
from tests.timeseries.store_cases import Case, StoreUnderTest, open_store
from tests.timeseries.strategies import EPOCH_NS
from timeseries.batches import Batch
from timeseries.records import Measurement, Query, StoreAwayError
from timeseries.stores import kdb, kdb_link
from timeseries.stores.kdb import KdbReader, KdbWriter
from timeseries.stores.kdb_link import KdbAddress, definitions

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def own_chili() -> Iterator[Chili]:
    """A server of the test's own, to pause and kill."""
    with Chili() as running:
        yield running


def put(case: Case, *rows: tuple[int, float]) -> None:
    case.append([Measurement(EPOCH_NS + at, case.tag("a"), [value]) for at, value in rows])


def asked(case: Case) -> list[float | None]:
    answer = case.ask(Query(case.tag("a"), EPOCH_NS, EPOCH_NS + 3, 3))
    return [None if sample.values is None else sample.values[0] for sample in answer.samples]


@pytest.fixture
def pair(chili: Chili, own_chili: Chili) -> Iterator[StoreUnderTest]:
    """A store of two processes: written to is the shared one, asked is the test's own."""
    own_chili.init()
    writer = KdbWriter([chili.url, own_chili.url])
    yield from open_store("pair", writer, KdbReader(own_chili.url, limit_s=5))


def test_each_batch_is_written_to_both_processes(
    pair: StoreUnderTest, kdb_store: StoreUnderTest
) -> None:
    case = pair.case()
    put(case, (1, 1.0), (2, 2.0))
    case.drain_all()
    assert asked(case) == [1.0, 2.0, 2.0]
    case.store = kdb_store
    assert asked(case) == [1.0, 2.0, 2.0]


def test_a_process_that_is_away_delays_and_loses_and_doubles_nothing(
    pair: StoreUnderTest, own_chili: Chili, monkeypatch
) -> None:
    monkeypatch.setattr(kdb, "WRITE_TIMEOUT_S", 1)
    case = pair.case()
    case.store = StoreUnderTest(
        "pair",
        KdbWriter([link_url(pair, 0), own_chili.url]),
        pair.reader,
        pair.runner,
        pair.redis,
    )
    put(case, (1, 1.0))
    case.drain_all()
    own_chili.pause()
    put(case, (1, 10.0), (2, 2.0))
    with pytest.raises(StoreAwayError):
        case.drain()
    assert case.stream.length() == 1
    own_chili.resume()
    put(case, (3, 3.0))
    drained = case.drain()
    assert (drained.standby, drained.trimmed) == (False, True)
    assert case.stream.length() == 0
    assert asked(case) == [10.0, 2.0, 3.0]
    assert [count for *_, count in case.tags()] == [3]
    case.store.writer.close()


def test_what_one_process_has_is_settled_and_the_other_gets_it(
    pair: StoreUnderTest, own_chili: Chili, monkeypatch
) -> None:
    monkeypatch.setattr(kdb, "WRITE_TIMEOUT_S", 1)
    writer = KdbWriter([link_url(pair, 0), own_chili.url])
    case = pair.case()
    case.store = StoreUnderTest("pair", writer, pair.reader, pair.runner, pair.redis)
    put(case, (1, 1.0))
    own_chili.pause()
    with pytest.raises(StoreAwayError):
        case.drain()
    # As for a client whose answer from Redis was lost.
    assert writer.settle(case.key, case.writer, 1)
    own_chili.resume()
    assert writer.settle(case.key, case.writer, 1)
    assert not writer.settle(case.key, case.writer, 2)
    put(case, (2, 2.0))
    case.drain_all()
    # The second was refused by both before it came.
    assert asked(case) == [1.0, 1.0, 1.0]
    writer.close()


def link_url(store: StoreUnderTest, place: int) -> str:
    writer = store.writer
    assert isinstance(writer, KdbWriter)
    return writer.urls[place]


def test_of_two_drains_at_once_one_does_nothing(kdb_store: StoreUnderTest, chili: Chili) -> None:
    case = kdb_store.case()
    other = KdbWriter([chili.url])
    call = kdb_link.KdbLink.call

    def between(self: kdb_link.KdbLink, function: str, *arguments: object) -> object:
        if function == ".ts.write":
            kdb_link.KdbLink.call = call  # type: ignore[method-assign]
            assert kdb_store.writer.drain(case.stream).applied == 1
        return call(self, function, *arguments)

    kdb_link.KdbLink.call = between  # type: ignore[method-assign]
    try:
        put(case, (1, 2.0))
        assert other.drain(case.stream).standby
    finally:
        kdb_link.KdbLink.call = call  # type: ignore[method-assign]
        other.close()
    case.drain_all()
    assert asked(case) == [2.0, 2.0, 2.0]


def test_who_is_away_says_so(own_chili: Chili) -> None:
    own_chili.kill()
    writer = KdbWriter([own_chili.url])
    with pytest.raises(StoreAwayError, match="refused"):
        writer.settle("s", b"w" * 16, 1)


def test_health_tells_what_to_do(own_chili: Chili) -> None:
    for store in open_store("own", KdbWriter([own_chili.url]), KdbReader(own_chili.url, limit_s=5)):
        health = store.runner.run(store.reader.health())
        assert (health.ok, "kdb_init" in health.detail) == (False, True)
        own_chili.init()
        assert store.runner.run(store.reader.health()).ok
        own_chili.kill()
        assert not store.runner.run(store.reader.health()).ok


def test_a_reader_gives_up_in_time_and_recovers(own_chili: Chili) -> None:
    own_chili.init()
    for store in open_store("own", KdbWriter([own_chili.url]), KdbReader(own_chili.url, limit_s=1)):
        case = store.case()
        put(case, (1, 1.0))
        case.drain_all()
        assert asked(case) == [1.0, 1.0, 1.0]
        own_chili.pause()
        with pytest.raises(StoreAwayError):
            asked(case)
        own_chili.resume()
        assert asked(case) == [1.0, 1.0, 1.0]


def test_the_command_loads_functions_and_keeps_what_is_there(own_chili: Chili) -> None:
    def run() -> str:
        out = StringIO()
        call_command("kdb_init", "--url", own_chili.url, stdout=out)
        return out.getvalue()

    assert run().endswith(f":{own_chili.port}: tables made\n")
    link = own_chili.link()
    batch = Batch.of([Measurement(1, "a", [1.0])])
    state = kdb_link.state_table("s", 1, "1-0")
    writers = kdb_link.writer_table("s", {b"w": 1}, 1)
    assert link.call(".ts.write", "s", 0, kdb_link.measurement_table(batch), writers, state)
    assert run().endswith(f":{own_chili.port}: tables kept\n")
    assert link.call(".ts.size", "a", 0, 10) == 1
    link.close()


@pytest.mark.parametrize("url", ["redis://host", "kdb://", "kdb:5010", "kdb://host:port"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        KdbAddress.of(url)
    with pytest.raises(CommandError):
        call_command("kdb_init", "--url", url)


def test_the_command_needs_an_address() -> None:
    with pytest.raises(CommandError, match="KDB_URL"):
        call_command("kdb_init")


def test_only_the_stores_modules_need_the_client() -> None:
    needs = re.compile(r"^\s*(?:from|import) (?:kola|polars)\b", re.MULTILINE)
    rooms = (
        "accounts",
        "adserver",
        "commons",
        "config",
        "counters",
        "devstack",
        "runtime",
        "timeseries",
    )
    importing = {
        str(path.relative_to(ROOT))
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
        if needs.search(path.read_text())
    }
    assert importing == {"timeseries/stores/kdb.py", "timeseries/stores/kdb_link.py"}


def test_each_definition_is_one_line_that_ends() -> None:
    for line in definitions():
        assert line.startswith(".ts."), line
        assert line.endswith(";"), line
