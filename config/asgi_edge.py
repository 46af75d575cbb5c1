"""The edge pool's application: hot reads, health and metrics, without Django's request handling."""

import asyncio
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")
django.setup(set_prefix=False)

from config import health, wiring  # noqa: E402 - they need Django's settings
from runtime.http.answer import Answer  # noqa: E402
from runtime.http.reads import ReadsApplication, Receive, Scope, Send  # noqa: E402
from runtime.metrics import CONTENT_TYPE, render_metrics  # noqa: E402

_METRICS_HEADERS = ((b"content-type", CONTENT_TYPE.encode()),)


def metrics() -> Answer:
    """Prometheus text of all workers of the pool."""
    return Answer(200, render_metrics(), _METRICS_HEADERS)


class Application:
    """ASGI: lifespan starts and stops the replica, requests are reads."""

    def __init__(self) -> None:
        self._reads = ReadsApplication(
            wiring.hot_routes(),
            {"/healthz": health.healthz, "/readyz": health.readyz, "/metrics": metrics},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's lifespan or one request."""
        if scope["type"] == "lifespan":
            await _lifespan(scope, receive, send)
        else:
            await self._reads(scope, receive, send)


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    worker = await asyncio.to_thread(wiring.start, "edge")
    scope["state"]["hot_routes"] = wiring.hot_routes()
    await send({"type": "lifespan.startup.complete"})
    # By the next message the server has answered, or given up, every request that it took.
    await receive()
    await asyncio.to_thread(worker.stop)
    await send({"type": "lifespan.shutdown.complete"})


application = Application()
