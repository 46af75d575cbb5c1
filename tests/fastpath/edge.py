"""The small application at the edge: `tests.fastpath.edge:application`."""

from runtime.http.answer import Answer
from runtime.http.reads import ReadsApplication
from runtime.metrics import render_metrics
from tests.fastpath.app import run_lifespan, table


def metrics() -> Answer:
    return Answer(200, render_metrics(), ((b"content-type", b"text/plain"),))


routes = table()
reads = ReadsApplication(
    routes, {"/healthz": lambda: Answer(200, b'{"status":"ok"}'), "/metrics": metrics}
)


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await run_lifespan(routes, scope, receive, send)
    else:
        await reads(scope, receive, send)
