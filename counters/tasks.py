"""Celery tasks of the counters: drain every second, reconcile, retain.

A store that is away is no fault of a task: it says so in one line, and the next run does it.
"""

import time

import psycopg
import redis
import structlog
from celery import shared_task
from django.db import OperationalError
from django.utils import timezone

from counters.drain import drain_all
from counters.reconcile import reconcile as reconcile_totals
from counters.services import counters_retain
from counters.totals import totals_cache

log = structlog.get_logger(__name__)
# Then the next run goes on: one that was sent a stop signal is not waited for much longer.
DRAIN_MOST_S = 5.0
RECONCILE_SLICES = 100
# InternalError: PostgreSQL ended a transaction that stood still for too long.
AWAY = (
    *(redis.RedisError, psycopg.OperationalError, psycopg.InternalError),
    *(OperationalError, OSError),
)


@shared_task(name="counters.tasks.drain")
def drain(shard: int) -> int:
    """Drain a shard until it is empty, for at most `DRAIN_MOST_S`; gives how many increments."""
    try:
        return drain_all(shard, until_s=time.monotonic() + DRAIN_MOST_S)
    except AWAY as error:
        log.warning("counters are not drained for now", shard=shard, error=str(error).strip())
        return 0


@shared_task(name="counters.tasks.reconcile")
def reconcile() -> int:
    """Compare the next slices of the cache; gives how many totals were wrong."""
    try:
        return reconcile_totals(totals_cache(), slices=RECONCILE_SLICES).different
    except AWAY as error:
        log.warning("counters are not reconciled for now", error=str(error).strip())
        return 0


@shared_task(name="counters.tasks.retain")
def retain() -> list[str]:
    """Drop what is too old; gives the names of the partitions."""
    try:
        return counters_retain(now=timezone.now()).dropped
    except AWAY as error:
        log.warning("old history is not dropped for now", error=str(error).strip())
        return []
