"""Any sequence of writes and clock moves, on PostgreSQL, against a filter over the table."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
import time_machine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from adserver import services
from adserver.index import CatalogIndex
from adserver.models import Ad
from adserver.records import AdFields, fields_of
from adserver.replica import Replica, load_snapshot
from tests.adserver.support import (
    ACTOR,
    VISITORS,
    NoHints,
    assert_answers,
    connect,
    epoch_ns,
    forget_everything,
)
from tests.index.reference import Visitor
from tests.index.strategies import EPOCH, STEP_US, STEPS_MAX, moment, records, visitors

some_fields = records().map(fields_of)
# Which of the ads there are: positions in their order, some of them twice, some of them nobody's.
some_positions = st.lists(st.integers(0, 12), min_size=1, max_size=6)


class CatalogMachine(RuleBasedStateMachine):
    """Writes go through the services; one replica follows, now and then, and is compared."""

    connection: psycopg.Connection[Any]

    def __init__(self) -> None:
        super().__init__()
        forget_everything()
        self.now = EPOCH
        self.traveller = time_machine.travel(EPOCH, tick=False)
        self.coordinates = self.traveller.start()
        self.replica = self.warmed()

    def teardown(self) -> None:
        self.look()
        self.traveller.stop()

    def clock(self) -> int:
        return epoch_ns(self.now)

    def warmed(self) -> Replica:
        replica = Replica(
            index=CatalogIndex(self.clock), connect=lambda: self.connection, hints=NoHints()
        )
        replica.catch_up()
        return replica

    def ids(self, positions: list[int]) -> list[Any]:
        ids = list(Ad.objects.order_by("created_at", "id").values_list("pk", flat=True))
        return [ids[at] for at in positions if at < len(ids)]

    @initialize(rows=st.lists(some_fields, min_size=1, max_size=12))
    def start(self, rows: list[AdFields]) -> None:
        services.ads_import(rows=rows, actor=ACTOR)

    @rule(fields=some_fields)
    def create(self, fields: AdFields) -> None:
        services.ad_create(fields=fields, actor=ACTOR)

    @rule(positions=some_positions, fields=some_fields)
    def replace(self, positions: list[int], fields: AdFields) -> None:
        for ad_id in self.ids(positions)[:1]:
            services.ad_replace(ad_id=ad_id, fields=fields, actor=ACTOR)

    @rule(positions=some_positions, other=some_fields)
    def change(self, positions: list[int], other: AdFields) -> None:
        """Another age and country, and the flight stays: the same place in the order."""

        def changed(old: AdFields) -> AdFields:
            return AdFields(
                title=other.title,
                content=other.content,
                start_at=old.start_at,
                end_at=old.end_at,
                age_start=other.age_start,
                age_end=other.age_end,
                country=other.country,
            )

        for ad_id in self.ids(positions)[:1]:
            services.ad_change(ad_id=ad_id, change=changed, actor=ACTOR)

    @rule(positions=some_positions)
    def delete(self, positions: list[int]) -> None:
        for ad_id in self.ids(positions)[:1]:
            services.ad_delete(ad_id=ad_id, actor=ACTOR)

    @rule(positions=some_positions)
    def delete_some(self, positions: list[int]) -> None:
        services.ads_delete(ad_ids=self.ids(positions), actor=ACTOR)

    @rule(rows=st.lists(some_fields, max_size=5), whole=st.booleans())
    def import_rows(self, rows: list[AdFields], whole: bool) -> None:
        write = services.ads_import_all if whole else services.ads_import
        write(rows=rows, actor=ACTOR)

    @rule(positions=some_positions)
    def end_now(self, positions: list[int]) -> None:
        services.ads_end_now(ad_ids=self.ids(positions), actor=ACTOR)

    @rule(positions=some_positions, steps=st.integers(1, STEPS_MAX))
    def extend(self, positions: list[int], steps: int) -> None:
        by = timedelta(microseconds=steps * STEP_US)
        services.ads_extend(ad_ids=self.ids(positions), by=by, actor=ACTOR)

    @rule(positions=some_positions)
    def duplicate(self, positions: list[int]) -> None:
        services.ads_duplicate(ad_ids=self.ids(positions), actor=ACTOR)

    @rule()
    def close_ended(self) -> None:
        services.ads_close_ended(actor=ACTOR)

    @rule()
    def trim(self) -> None:
        services.changelog_trim(before=self.now)

    @rule(step=st.integers(0, 2 * STEPS_MAX), us=st.integers(-1, 1))
    def move_clock(self, step: int, us: int) -> None:
        self.now = max(self.now, moment(step) + timedelta(microseconds=us))
        self.coordinates.move_to(self.now)

    @rule(visitor=visitors, offset=st.integers(0, 5), limit=st.integers(1, 10))
    def query(self, visitor: Visitor, offset: int, limit: int) -> None:
        self.replica.catch_up()
        assert_answers(self.replica.index, self.clock(), visitor, offset, limit)

    @precondition(lambda self: self.replica.index.version)
    @rule()
    def look(self) -> None:
        self.replica.catch_up()
        fresh = CatalogIndex(self.clock)
        load_snapshot(self.connection, fresh)
        # Asked first: the clock's entrances and exits happen when somebody asks.
        for visitor in VISITORS:
            for index in (self.replica.index, fresh):
                assert_answers(index, self.clock(), visitor, 0, 100)
        assert self.replica.index.state() == fresh.state()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("examples", [25, pytest.param(1_000, marks=pytest.mark.drill)])
def test_any_writes_and_clock_moves(examples: int) -> None:
    with connect() as CatalogMachine.connection:
        run_state_machine_as_test(
            CatalogMachine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=20,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
