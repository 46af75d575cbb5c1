"""Tells the replicas that the log has grown."""

from functools import cache

from django.conf import settings

from runtime.pubsub import Publisher

CHANNEL = "adserver:version"


@cache
def _publisher() -> Publisher:
    return Publisher(settings.CACHE_REDIS_URL, CHANNEL)


def publish_version(version: int) -> None:
    """Announce a committed version. A lost hint is made good by the replicas' own timer."""
    _publisher().publish(str(version))
