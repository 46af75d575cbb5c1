"""A server in the place of a pool, which tells what reached it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from devstack.ports import LOOPBACK


class Pool(ThreadingHTTPServer):
    """A pool that tells what reached it, with a status of one's choice."""

    daemon_threads = True

    def __init__(self, name: str, status: int) -> None:
        super().__init__((LOOPBACK, 0), _Teller)
        self.pool, self.status = name, status


class _Teller(BaseHTTPRequestHandler):
    """Answers with what reached it."""

    protocol_version = "HTTP/1.1"
    server: Pool

    def _tell(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        told = {
            "pool": self.server.pool,
            "method": self.command,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": self.rfile.read(length).decode(),
        }
        body = json.dumps(told).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = _tell

    def log_message(self, *args) -> None:
        """The test says what matters."""


@contextmanager
def teller(pool: str, status: int = 200) -> Iterator[int]:
    """A running `Pool`; gives its port."""
    server = Pool(pool, status)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
