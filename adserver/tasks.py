"""Celery tasks of the ads."""

import structlog
from celery import shared_task

from adserver.records import Actor
from adserver.services import CLOSE_BATCH, ads_close_ended
from commons.tasks import unless_away

log = structlog.get_logger(__name__)
EXPIRY = Actor("expiry")


@shared_task(name="adserver.tasks.close_ended_ads")
@unless_away("ended ads are not closed for now", 0)
def close_ended_ads() -> int:
    """Close every ad whose end has passed, a batch a transaction; gives how many."""
    closed = 0
    while (count := ads_close_ended(actor=EXPIRY)) > 0:
        closed += count
        if count < CLOSE_BATCH:
            break
    if closed:
        log.info("ended ads closed", count=closed)
    return closed
