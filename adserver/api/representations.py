"""What operators get to see of an ad and of its history."""

from typing import Any

from django.utils import timezone
from msgspec.structs import asdict

from adserver.records import StoredAd, state_at
from adserver.selectors import HistoryEntry


def ad_json(ad: StoredAd) -> dict[str, Any]:
    """The ad as it is served, and what only operators need: `state` and `updated_at`."""
    record = ad.record
    state = state_at(timezone.now(), record.start_at, record.end_at)
    return {**asdict(record), "state": state, "updated_at": ad.updated_at}


def history_json(entry: HistoryEntry) -> dict[str, Any]:
    """One change; `before` and `after` are the ad as it was served, null where there was none."""
    return {
        "version": entry.version,
        "operation": entry.operation,
        "actor": entry.actor,
        "at": entry.at,
        "before": entry.before,
        "after": entry.after,
        "changed": {
            name: {"before": before, "after": after}
            for name, (before, after) in entry.changed.items()
        },
    }
