"""Deletes what has been kept for long enough."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import AuditEvent, Lockout, Session

PURGE_BATCH = 10_000


def records_purge() -> int:
    """Delete sessions that were over, and audit entries made, `ACCOUNT_AUDIT_DAYS` ago, and failed
    logins that no longer count; at most `PURGE_BATCH` of each. Gives how many rows in all.
    """
    now = timezone.now()
    kept_since = now - timedelta(days=settings.ACCOUNT_AUDIT_DAYS)
    counted_since = now - timedelta(seconds=settings.ACCOUNT_LOCKOUT_FORGET_S)
    idle_since = kept_since - timedelta(seconds=settings.ACCOUNT_SESSION_IDLE_S)
    over = (
        Q(ended_at__lt=kept_since) | Q(expires_at__lt=kept_since) | Q(last_used_at__lt=idle_since)
    )
    old: list[QuerySet[Any]] = [
        Session.objects.filter(over),
        AuditEvent.objects.filter(at__lt=kept_since),
        Lockout.objects.filter(last_failure_at__lt=counted_since).exclude(locked_until__gt=now),
    ]
    return sum(_purge(rows) for rows in old)


def _purge(rows: QuerySet[Any]) -> int:
    found = list(rows.order_by().values_list("pk", flat=True)[:PURGE_BATCH])
    deleted: int = rows.model._default_manager.filter(pk__in=found).delete()[0]
    return deleted
