"""Celery tasks of the accounts."""

import structlog
from celery import shared_task

from accounts.purging import PURGE_BATCH, records_purge
from commons.tasks import unless_away

log = structlog.get_logger(__name__)


@shared_task(name="accounts.tasks.purge_records")
@unless_away("old sessions, failures and audit entries are not deleted for now", 0)
def purge_records() -> int:
    """Delete what is older than it is to be kept, a batch a transaction; gives how many rows."""
    purged = 0
    while (count := records_purge()) > 0:
        purged += count
        if count < PURGE_BATCH:
            break
    if purged:
        log.info("old sessions, failures and audit entries deleted", count=purged)
    return purged
