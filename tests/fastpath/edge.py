"""The small application at the edge: `tests.fastpath.edge:application`."""

from runtime.http.answer import Answer
from runtime.http.wsgi import wsgi_application
from runtime.metrics import render_metrics
from tests.fastpath.app import table


def metrics() -> Answer:
    return Answer(200, render_metrics(), ((b"content-type", b"text/plain"),))


routes = table()
application = wsgi_application(
    routes, {"/healthz": lambda: Answer(200, b'{"status":"ok"}'), "/metrics": metrics}
)
