"""The edge pool's application: hot reads, health and metrics, without Django's request handling."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")
django.setup(set_prefix=False)

from config import health, wiring  # noqa: E402 - they need Django's settings
from runtime.http.answer import Answer  # noqa: E402
from runtime.http.wsgi import wsgi_application  # noqa: E402
from runtime.metrics import CONTENT_TYPE, render_metrics  # noqa: E402

_METRICS_HEADERS = ((b"content-type", CONTENT_TYPE.encode()),)


def metrics() -> Answer:
    """Prometheus text of all workers of the pool."""
    return Answer(200, render_metrics(), _METRICS_HEADERS)


routes = wiring.hot_routes()
application = wsgi_application(
    routes, {"/healthz": health.healthz, "/readyz": health.readyz, "/metrics": metrics}
)
