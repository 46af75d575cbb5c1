"""Celery tasks of the counters: drain every second, reconcile, retain."""

import time

from celery import shared_task
from django.utils import timezone

from commons.tasks import unless_away
from counters.drain import drain_all
from counters.reconcile import reconcile as reconcile_totals
from counters.services import counters_retain
from counters.totals import totals_cache

# Then the next run goes on: one that was sent a stop signal is not waited for much longer.
DRAIN_MOST_S = 5.0
RECONCILE_SLICES = 100


@shared_task(name="counters.tasks.drain")
@unless_away("counters are not drained for now", 0)
def drain(shard: int) -> int:
    """Drain a shard until it is empty, for at most `DRAIN_MOST_S`; gives how many increments."""
    return drain_all(shard, until_s=time.monotonic() + DRAIN_MOST_S)


@shared_task(name="counters.tasks.reconcile")
@unless_away("counters are not reconciled for now", 0)
def reconcile() -> int:
    """Compare the next slices of the cache; gives how many totals were wrong."""
    return reconcile_totals(totals_cache(), slices=RECONCILE_SLICES).different


@shared_task(name="counters.tasks.retain")
@unless_away("old history is not dropped for now", list[str]())
def retain() -> list[str]:
    """Drop what is too old; gives the names of the partitions."""
    return counters_retain(now=timezone.now()).dropped
