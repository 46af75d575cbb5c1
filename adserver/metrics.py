"""What a worker's replica holds, as Prometheus gauges."""

from functools import cache

from prometheus_client import Gauge

from runtime.metrics import worker_gauge

_HELP = {
    "version": "Version of the catalog that this worker answers from.",
    "lag_seconds": "Seconds since this worker last knew that it had every change.",
    "open_ads": "Ads in this worker's index, scheduled ones included.",
    "live_ads": "Ads in this worker's index that are live now.",
    "gaps": "Times that this worker found the change log broken and read a snapshot.",
}


@cache
def _gauges() -> dict[str, Gauge]:
    return {name: worker_gauge(f"catalog_{name}", text) for name, text in _HELP.items()}


def set_catalog(*, version: int, lag_s: float, open_ads: int, live_ads: int, gaps: int) -> None:
    """Publish the replica's state, as `catalog_version` and so on."""
    values = (version, lag_s, open_ads, live_ads, gaps)
    for gauge, value in zip(_gauges().values(), values, strict=True):
        gauge.set(value)
