"""The expiry task: closes all there is to close, as often as beat asks."""

import pytest
import time_machine
from django.conf import settings
from django.db import OperationalError

from adserver import services, tasks
from adserver.models import Ad, AdChange
from config.celery import app
from tests.adserver.support import ACTOR, HOUR, NOON, fields

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("ended", [0, 1, 4, 5])
def test_it_closes_every_ended_ad_batch_by_batch(ended: int, monkeypatch) -> None:
    for module in (services, tasks):
        monkeypatch.setattr(module, "CLOSE_BATCH", 2)
    with time_machine.travel(NOON, tick=False):
        services.ads_import(
            rows=[fields(end_at=NOON)] * ended + [fields(end_at=NOON + HOUR)], actor=ACTOR
        )
        assert tasks.close_ended_ads.delay().get() == ended
        assert tasks.close_ended_ads.delay().get() == 0
    closings = AdChange.objects.filter(operation="close")
    assert closings.count() == Ad.objects.exclude(closed_at=None).count() == ended
    assert set(closings.values_list("actor_label", flat=True)) <= {"expiry"}


def test_a_database_that_is_away_costs_a_run_and_the_next_one_closes(monkeypatch) -> None:
    with time_machine.travel(NOON, tick=False):
        services.ad_create(fields=fields(end_at=NOON), actor=ACTOR)

        def away(**_: object) -> int:
            raise OperationalError("the server closed the connection")

        with monkeypatch.context() as patched:
            patched.setattr(tasks, "ads_close_ended", away)
            assert tasks.close_ended_ads.delay().get() == 0
        assert tasks.close_ended_ads.delay().get() == 1


def test_beat_asks_for_it_often_enough() -> None:
    entry = settings.CELERY_BEAT_SCHEDULE["close-ended-ads"]
    app.loader.import_default_modules()
    assert entry["task"] in app.tasks
    # Closed within 10 s of the end: the interval, and a run.
    assert entry["schedule"] <= 5
