"""The task that beat asks for: room ahead, and nothing past the retention."""

import pytest
import time_machine
from django.conf import settings

from commons import connecting
from config.celery import app
from tests.timeseries.store_cases import StoreUnderTest
from timeseries import tasks
from timeseries.partitions import HOUR_NS, partitions

pytestmark = pytest.mark.django_db


def test_it_makes_room_ahead_and_drops_what_is_past(postgres_store: StoreUnderTest) -> None:
    began_s = 300_000 * 3600
    with time_machine.travel(began_s, tick=False):
        tasks.retain.delay()
    first = hours()
    # The hour before is there too: messages may come late, and a clock be behind.
    assert {300_000 - 1, 300_000, 300_000 + 1, 300_000 + 2} <= first
    with time_machine.travel(began_s + 3600, tick=False):
        tasks.retain.delay()
    assert hours() == first | {300_000 + 3}
    later_s = began_s + settings.TIMESERIES_RETENTION_S + 3600 + 600
    with time_machine.travel(later_s, tick=False):
        tasks.retain.delay()
    assert min(hours()) == 300_000 + 1
    # Away with what is far ahead of the other tests.
    with connecting.connect() as connection:
        for each in partitions(connection):
            if each.low_ns < 310_000 * HOUR_NS:
                connection.execute(f"DROP TABLE {each.name}")


def hours() -> set[int]:
    with connecting.connect() as connection:
        return {
            each.low_ns // HOUR_NS
            for each in partitions(connection)
            if each.low_ns < 310_000 * HOUR_NS
        }


def test_beat_asks_for_it_long_before_room_runs_out() -> None:
    entry = settings.CELERY_BEAT_SCHEDULE["retain-measurements"]
    app.loader.import_default_modules()
    assert entry["task"] in app.tasks
    assert entry["schedule"] * 10 <= tasks.AHEAD_NS / 1e9
