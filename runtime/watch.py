"""`/healthz` and `/metrics` of a process that serves nothing else, on a port of their own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from runtime.http.answer import Answer
from runtime.http.errors import NOTHING_HERE
from runtime.metrics import CONTENT_TYPE, render_metrics

# One page under two names: such a process is ready whenever it lives.
_HEALTHS = ("/healthz", "/readyz")


@contextmanager
def watched(host: str, port: int, healthz: Callable[[], Answer]) -> Iterator[None]:
    """Answer on `port` as long as the context lasts; port 0 means not at all. OSError if taken."""
    if not port:
        yield
        return
    server = ThreadingHTTPServer((host, port), _handler(healthz))
    thread = Thread(target=server.serve_forever, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(healthz: Callable[[], Answer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._send(200, CONTENT_TYPE, render_metrics())
            else:
                answer = healthz() if self.path in _HEALTHS else NOTHING_HERE
                self._send(answer.status, "application/json", answer.body)

        def _send(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing: a probe a second is no news."""

    return Handler
