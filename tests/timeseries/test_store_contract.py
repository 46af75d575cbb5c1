"""What every store promises, held by the same tests for all of them."""

from threading import get_ident

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.stream import new_writer
from tests.timeseries.reference import Reference, assert_same
from tests.timeseries.store_cases import StoreUnderTest
from tests.timeseries.strategies import EPOCH_NS, TAGS, messages, queries
from timeseries.batches import Rows
from timeseries.records import (
    AGGREGATES,
    Aggregate,
    Measurement,
    Query,
    Sample,
    UnknownTagError,
    encode,
)
from timeseries.sampling import aggregator

# The stores have connections of their own; this has the database made for them.
pytestmark = pytest.mark.django_db
HOUR_NS = 3_600_000_000_000
S = 1_000_000_000


def message(at_ns: int, *values: float, tag: str = "a") -> Measurement:
    return Measurement(time=EPOCH_NS + at_ns, tag=tag, values=list(values))


def query(case, start_ns: int, end_ns: int, samples: int, aggregate: Aggregate = "last") -> Query:
    return Query(case.tag("a"), EPOCH_NS + start_ns, EPOCH_NS + end_ns, samples, aggregate)


def found(case, asked: Query) -> list[tuple[int, list[float] | None]]:
    return [
        (sample.time - EPOCH_NS, None if sample.values is None else list(sample.values))
        for sample in case.ask(asked).samples
    ]


@settings(deadline=None, max_examples=40)
@given(
    batches=st.lists(st.tuples(messages, st.booleans(), st.booleans()), min_size=1, max_size=5),
    asked=st.lists(queries(), min_size=3, max_size=3),
)
def test_whatever_comes_in_whatever_batches_the_answers_are_brute_forces(
    store: StoreUnderTest, batches, asked
) -> None:
    case, expected = store.case(), Reference()
    for batch, drained_at_once, sent_again in batches:
        own = case.own(batch)
        case.append(own)
        expected.add(own)
        if drained_at_once:
            case.drain_all()
        if sent_again:
            case.append(own, again=True)
    case.drain_all()
    for each in asked:
        each = Query(case.tag(each.tag), each.start_ns, each.end_ns, each.samples, each.aggregate)
        rows = expected.rows(each.tag)
        if not rows:
            with pytest.raises(UnknownTagError):
                case.ask(each)
            continue
        answer = case.ask(each)
        assert (answer.tag_name, answer.start, answer.end) == (each.tag, each.start_ns, each.end_ns)
        if each.aggregate != "lttb":
            assert_same(answer.samples, expected.sample(each))
        assert case.exported(each.tag, each.start_ns, each.end_ns) == [
            row for row in rows if each.start_ns <= row[0] < each.end_ns
        ]
    own_tags = sorted({tag for tag, _ in expected.kept}, key=str.encode)
    assert case.tags() == [
        (tag, rows[0][0], rows[-1][0], len(rows))
        for tag, rows in ((tag, expected.rows(tag)) for tag in own_tags)
    ]


@settings(deadline=None, max_examples=15)
@given(batch=messages, shuffled=st.randoms(use_true_random=False))
def test_shuffled_and_repeated_messages_give_the_answers_of_the_sorted_set(
    store: StoreUnderTest, batch, shuffled
) -> None:
    once = list({(m.tag, m.time): m for m in batch}.values())
    noisy = once + shuffled.choices(once, k=5) if once else []
    shuffled.shuffle(noisy)
    case = store.case()
    cut = shuffled.randint(0, len(noisy))
    for part in (noisy[:cut], noisy[cut:]):
        case.append(case.own(part))
        case.drain_all()
    expected = Reference(case.own(once))
    for tag in {m.tag for m in once}:
        for aggregate in AGGREGATES[:-1]:
            asked = Query(case.tag(tag), EPOCH_NS - 50, EPOCH_NS + 50, 7, aggregate)
            assert_same(case.ask(asked).samples, expected.sample(asked))


def test_last_looks_back_before_the_interval_however_far(store: StoreUnderTest) -> None:
    case = store.case()
    case.append(case.own([message(-30 * HOUR_NS, 1.0, 2.0), message(5 * S, 3.0)]))
    case.drain_all()
    assert found(case, query(case, 0, 10 * S, 4)) == [
        (int(2.5 * S), [1.0, 2.0]),
        (5 * S, [3.0]),
        (int(7.5 * S), [3.0]),
        (10 * S, [3.0]),
    ]
    before = query(case, -40 * HOUR_NS, -20 * HOUR_NS, 2)
    assert found(case, before) == [(-30 * HOUR_NS, [1.0, 2.0]), (-20 * HOUR_NS, [1.0, 2.0])]
    assert found(case, query(case, -40 * HOUR_NS, -35 * HOUR_NS, 1)) == [(-35 * HOUR_NS, None)]


def test_a_sub_interval_ends_at_its_sample_and_begins_after_the_one_before(store) -> None:
    case = store.case()
    case.append(case.own([message(at, float(at)) for at in (0, 1, 10, 11, 20)]))
    case.drain_all()
    answers: dict[Aggregate, list[list[float]]] = {
        "first": [[1.0], [11.0]],
        "max": [[10.0], [20.0]],
        "mean": [[5.5], [15.5]],
        "count": [[2], [2]],
    }
    for aggregate, expected in answers.items():
        answer = found(case, query(case, 0, 20, 2, aggregate))
        assert answer == [(10, expected[0]), (20, expected[1])], aggregate


def test_elements_that_some_messages_lack_are_aggregated_over_those_that_have_them(store) -> None:
    case = store.case()
    case.append(case.own([message(1, 4.0), message(2, 2.0, 8.0), message(3, 6.0, 4.0, 1.0)]))
    case.drain_all()
    answers: dict[Aggregate, list[float]] = {
        "first": [4.0],
        "min": [2.0, 4.0, 1.0],
        "max": [6.0, 8.0, 1.0],
        "mean": [4.0, 6.0, 1.0],
        "count": [3, 2, 1],
        "last": [6.0, 4.0, 1.0],
    }
    for aggregate, expected in answers.items():
        assert found(case, query(case, 0, 10, 1, aggregate)) == [(10, expected)], aggregate


def test_of_the_same_tag_and_time_the_later_message_wins(store: StoreUnderTest) -> None:
    case = store.case()
    case.append(case.own([message(1, 1.0), message(2, 2.0), message(1, 3.0)]))
    case.drain_all()
    assert found(case, query(case, 0, 2, 2)) == [(1, [3.0]), (2, [2.0])]
    case.append(case.own([message(1, 4.0, 5.0), message(3, 6.0)]))
    case.drain_all()
    assert found(case, query(case, 0, 3, 3)) == [(1, [4.0, 5.0]), (2, [2.0]), (3, [6.0])]
    assert case.tags() == [(case.tag("a"), EPOCH_NS + 1, EPOCH_NS + 3, 3)]


def test_a_batch_that_is_in_the_stream_twice_counts_once(store: StoreUnderTest) -> None:
    case = store.case()
    case.append(case.own([message(1, 1.0)]))
    case.append(case.own([message(1, 2.0)]))
    assert case.drain().applied == 2
    # The first one again, as after an answer that was lost: not newer than what came since.
    case.put(case.writer, 1, encode(case.own([message(1, 1.0), message(9, 9.0)])))
    drained = case.drain()
    assert (drained.applied, drained.repeated, drained.trimmed) == (0, 1, True)
    assert found(case, query(case, 0, 9, 1)) == [(9, [2.0])]
    assert case.stream.length() == 0


def test_what_is_settled_is_settled(store: StoreUnderTest) -> None:
    case = store.case()
    case.append(case.own([message(1, 1.0)]))
    case.drain_all()
    assert store.writer.settle(case.key, case.writer, 1) is True
    assert store.writer.settle(case.key, case.writer, 2) is False
    case.append(case.own([message(2, 2.0)]))
    case.drain_all()
    assert found(case, query(case, 0, 2, 1)) == [(2, [1.0])]
    # What is refused is that one batch: one before it may wait in the stream still.
    case.append(case.own([message(2, 2.0)]))
    assert store.writer.settle(case.key, case.writer, 4) is False
    case.append(case.own([message(2, 2.5)]))
    case.drain_all()
    assert found(case, query(case, 0, 2, 1)) == [(2, [2.0])]
    other = new_writer()
    assert store.writer.settle(case.key, other, 1) is False
    case.put(other, 1, encode(case.own([message(2, 3.0)])))
    case.put(other, 2, encode(case.own([message(2, 4.0)])))
    case.drain_all()
    assert found(case, query(case, 0, 2, 1)) == [(2, [4.0])]


def test_what_holds_no_measurements_stands_in_nobodys_way(store: StoreUnderTest, caplog) -> None:
    case = store.case()
    store.redis.xadd(case.key, {"hello": "world"})
    case.put(case.writer, 1, b"M1 or not")
    case.put(case.writer, 2, encode(case.own([message(1, 1.0)])))
    case.drain_all()
    assert found(case, query(case, 0, 2, 1)) == [(2, [1.0])]
    assert case.stream.length() == 0
    assert caplog.text.count("holds no measurements") == 2


def test_a_drain_takes_no_more_than_its_limit_and_says_that_there_is_more(store) -> None:
    case = store.case()
    for at in range(7):
        case.append(case.own([message(at, float(at))]))
    drained = case.drain()
    assert (drained.applied, drained.more) == (5, True)
    drained = case.drain()
    assert (drained.applied, drained.more) == (2, False)
    assert case.drain().at_ms is None


def test_all_64_values_and_the_longest_tag_come_back_as_they_were(store: StoreUnderTest) -> None:
    case = store.case()
    numbers = [(-1.0) ** k * 1.7976931348623157e308 / 3**k for k in range(64)]
    tag = ("漢" * 20)[: 20 - len(case.suffix)] + case.suffix
    case.append([Measurement(EPOCH_NS, tag, numbers), Measurement(EPOCH_NS + 1, tag, [5e-324])])
    case.drain_all()
    assert case.exported(tag, EPOCH_NS, EPOCH_NS + 2) == [
        (EPOCH_NS, numbers),
        (EPOCH_NS + 1, [5e-324]),
    ]


def test_many_rows_are_read_page_by_page(store: StoreUnderTest, monkeypatch) -> None:
    monkeypatch.setattr("timeseries.stores.memory.PAGE_ROWS", 100)
    monkeypatch.setattr("timeseries.stores.kdb.PAGE_ROWS", 100)
    monkeypatch.setattr("timeseries.stores.packed.BLOCK_BYTES", 20 * 24)
    monkeypatch.setattr("timeseries.stores.postgres_reader.PAGE_BLOCKS", 5)
    monkeypatch.setattr("timeseries.stores.postgres_reader.PIECE_ROWS", 30)
    case = store.case()
    rows = [message(at * S, float(at), -float(at)) for at in range(1, 1001)]
    case.append(case.own(rows))
    case.drain_all()
    expected = Reference(case.own(rows))
    exported = case.exported(case.tag("a"), EPOCH_NS, EPOCH_NS + 2000 * S)
    assert exported == expected.rows(case.tag("a"))
    for aggregate in AGGREGATES[:-1]:
        asked = query(case, 0, 1000 * S, 37, aggregate)
        assert_same(case.ask(asked).samples, expected.sample(asked))


def test_no_aggregate_keeps_the_event_loop_waiting(
    postgres_store: StoreUnderTest, monkeypatch
) -> None:
    monkeypatch.setattr("timeseries.stores.postgres_reader._AT_ONCE_ROWS", 9)
    case = postgres_store.case()
    case.append(case.own([message(at * S, float(at)) for at in range(1, 101)]))
    case.drain_all()
    worked_in: set[tuple[str, int]] = set()

    class Watched:
        def __init__(self, query: Query) -> None:
            self.really = aggregator(query)

        def add(self, rows: Rows) -> None:
            worked_in.add(("add", get_ident()))
            self.really.add(rows)

        def samples(self) -> list[Sample]:
            worked_in.add(("samples", get_ident()))
            return self.really.samples()

    monkeypatch.setattr("timeseries.stores.postgres_reader.aggregator", Watched)
    for aggregate in AGGREGATES[1:]:
        case.ask(query(case, 0, 1000 * S, 3, aggregate))
    assert {name for name, _ in worked_in} == {"add", "samples"}
    assert get_ident() not in {thread for _, thread in worked_in}


def test_nothing_is_exported_of_a_time_when_nothing_came(store: StoreUnderTest) -> None:
    case = store.case()
    case.append(case.own([message(10 * S, 1.0), message(50 * S, 2.0)]))
    case.drain_all()
    reader, tag = store.reader, case.tag("a")

    async def chunks(start_ns: int, end_ns: int) -> list[Rows]:
        return [each async for each in reader.export(tag, EPOCH_NS + start_ns, EPOCH_NS + end_ns)]

    for span in ((20 * S, 30 * S), (50 * S + 1, 60 * S), (0, 10 * S)):
        assert store.runner.run(chunks(*span)) == [], "no chunk without a row"
    assert sum(map(len, store.runner.run(chunks(20 * S, 60 * S)))) == 1


def test_a_store_that_answers_is_well(store: StoreUnderTest) -> None:
    assert store.runner.run(store.reader.health()).ok


def test_an_unknown_tag_is_told_from_a_silent_one(store: StoreUnderTest) -> None:
    case = store.case()
    case.append(case.own([message(5, 1.0)]))
    case.drain_all()
    assert found(case, query(case, 1, 3, 2)) == [(2, None), (3, None)]
    for tag in (case.tag("b"), case.tag("A"), TAGS[0]):
        with pytest.raises(UnknownTagError):
            case.ask(Query(tag, EPOCH_NS, EPOCH_NS + 1))
        with pytest.raises(UnknownTagError):
            case.exported(tag, EPOCH_NS, EPOCH_NS + 1)


def test_what_is_past_the_retention_goes_and_all_else_stays(store: StoreUnderTest) -> None:
    case = store.case()
    # Older than anything that other tests keep.
    old_ns = EPOCH_NS - 5000 * HOUR_NS
    kept = [Measurement(old_ns + 100 * HOUR_NS, case.tag("a"), [1.0])]
    gone = [Measurement(old_ns, case.tag(tag), [2.0]) for tag in "ab"]
    case.append(kept + gone)
    case.drain_all()
    assert len(case.tags()) == 2
    retained = store.writer.retain(
        oldest_ns=old_ns + 90 * HOUR_NS, newest_ns=old_ns + 91 * HOUR_NS, streams=[case.stream]
    )
    assert retained.tags >= 1
    assert case.tags() == [(case.tag("a"), kept[0].time, kept[0].time, 1)]
    assert case.exported(case.tag("a"), 0, EPOCH_NS) == [(kept[0].time, [1.0])]
    with pytest.raises(UnknownTagError):
        case.exported(case.tag("b"), 0, EPOCH_NS)
    # And one that was forgotten may come again.
    case.append(case.own([message(1, 3.0, tag="b")]))
    case.drain_all()
    assert case.exported(case.tag("b"), 0, 2 * EPOCH_NS) == [(EPOCH_NS + 1, [3.0])]
