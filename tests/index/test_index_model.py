"""The index against a plain filter, under any sequence of writes, clock moves and queries."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from adserver import blocks, index
from adserver.index import CatalogIndex
from adserver.records import AdRecord, epoch_us
from tests.index.reference import code_of, expected
from tests.index.strategies import EPOCH, STEPS_MAX, ids, moment, records, visitors

START_NS = epoch_us(EPOCH) * 1000


class IndexMachine(RuleBasedStateMachine):
    """Every query is compared with the reference; the hash with that of a fresh index."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = START_NS
        self.version = 7
        self.ads: dict[int, AdRecord] = {}
        self.index = CatalogIndex(clock=lambda: self.now_ns)

    @initialize(first=st.lists(records(), max_size=20, unique_by=lambda ad: ad.id))
    def load(self, first: list[AdRecord]) -> None:
        self.ads = {ad.id.int: ad for ad in first}
        self.index.load(first, version=self.version)

    @rule(ad=records(), many=st.booleans())
    def write(self, ad: AdRecord, many: bool) -> None:
        self.version += 1
        self.ads[ad.id.int] = ad
        self.index.apply(version=self.version, ad_id=ad.id, record=ad, one_of_many=many)

    @rule(ad_id=ids, many=st.booleans())
    def delete(self, ad_id, many: bool) -> None:
        self.version += 1
        self.ads.pop(ad_id.int, None)
        self.index.apply(version=self.version, ad_id=ad_id, record=None, one_of_many=many)

    @rule(step=st.integers(0, STEPS_MAX + 1), ns=st.integers(-1, 1))
    def move_forward(self, step: int, ns: int) -> None:
        self.now_ns = max(self.now_ns, epoch_us(moment(step)) * 1000 + ns)

    @rule(step=st.integers(0, STEPS_MAX))
    def set_clock_far_back(self, step: int) -> None:
        """A clock that is set back by more than a moment takes the catalog with it."""
        self.now_ns = epoch_us(moment(step)) * 1000 - index.CLOCK_BACK_NS - (STEPS_MAX + 1) * 10_000
        self.query({}, 0, 3)
        self.now_ns = epoch_us(moment(step)) * 1000

    @rule(visitor=visitors, offset=st.integers(0, 12), limit=st.integers(1, 12))
    def query(self, visitor: dict[str, object], offset: int, limit: int) -> None:
        answer = self.index.query(code_of(visitor), offset, limit)
        total, page = expected(
            self.ads.values(), now_ns=self.now_ns, visitor=visitor, offset=offset, limit=limit
        )
        assert answer == (self.version, total, page)

    @invariant()
    def equals_a_fresh_index(self) -> None:
        fresh = CatalogIndex(clock=lambda: self.now_ns)
        fresh.load(self.ads.values(), version=self.version)
        self.index.query(0, 0, 1)
        assert self.index.state() == fresh.state()


@pytest.fixture(autouse=True, params=["tiny", "real"])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny blocks, fronts and memories make every split, trim and forgetting happen."""
    if request.param == "tiny":
        monkeypatch.setattr(blocks, "BLOCK_ADS", 4)
        monkeypatch.setattr(blocks, "_FULL_FILL", 3)
        monkeypatch.setattr(index, "BLOCK_ADS", 2)
        monkeypatch.setattr(index, "FRONT_ADS", 3)
        monkeypatch.setattr(index, "FRONT_ADS_MOST", 5)
        monkeypatch.setattr(index, "EVENTS_MAX", 6)
        monkeypatch.setattr(index, "_FRONT_EVENTS", 2)
        monkeypatch.setattr(index, "_BLOCK_EVENTS", 1)
        monkeypatch.setattr(index, "SEGMENTS_MAX", 3)
        monkeypatch.setattr(index, "AT_ONCE_SEGMENTS", 2)


@pytest.mark.parametrize("examples", [50, pytest.param(1_500, marks=pytest.mark.drill)])
def test_any_sequence_answers_as_a_plain_filter(examples: int) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        IndexMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert index.CLOCK_BACK_NS > 0
