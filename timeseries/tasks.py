"""Celery tasks of the time series."""

import time
from contextlib import closing
from dataclasses import asdict

import structlog
from celery import shared_task

from commons.tasks import unless_away
from timeseries.opening import oldest_ns, open_streams, open_writer
from timeseries.stores.base import Retained

log = structlog.get_logger(__name__)
# So far ahead there is room for measurements, whatever becomes of the next runs.
AHEAD_NS = 2 * 3_600_000_000_000


@shared_task(name="timeseries.tasks.retain")
@unless_away("old measurements are not dropped for now", None)
def retain() -> None:
    """Let go of what is past the retention, and make room ahead."""
    with closing(open_writer()) as writer:
        retained = writer.retain(
            oldest_ns=oldest_ns(), newest_ns=time.time_ns() + AHEAD_NS, streams=open_streams()
        )
    if retained != Retained():
        log.info("retention kept", **asdict(retained))
