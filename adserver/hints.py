"""Tells the replicas that the log has grown."""

from functools import cache

from django.conf import settings

from runtime.pubsub import PacedPublisher, Publisher

CHANNEL = "adserver:version"
# Replicas look no more often than that, see `adserver.replica`.
_PACE_S = 0.2


@cache
def _publisher() -> PacedPublisher:
    publisher = Publisher(settings.CACHE_REDIS_URL, CHANNEL)
    return PacedPublisher(publisher.publish, pace_s=_PACE_S)


def publish_version(version: int) -> None:
    """Announce a committed version, soon. A lost hint is made good by the replicas' own timer."""
    _publisher().publish(str(version))
