"""Encoded heads of answers, kept as long as the same one is asked for again.

Nearly every answer of a worker has the head of the one before it: same status, same headers
tuple, same second on the clock. Comparing identities finds that out in a few nanoseconds.
"""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from runtime.http.answer import Answer, Headers

_NO_CONTENT = 204


class Heads:
    """Heads as this server writes them, date included."""

    __slots__ = ("_server_state", "usual", "usual_defaults", "usual_headers")

    def __init__(self, server_state: ServerState) -> None:
        self._server_state = server_state
        # The head of the last 200 up to its content length, and what it was made from.
        self.usual = b""
        self.usual_headers: Headers | None = None
        # uvicorn puts a new list here each second, so identity tells whether the date is right.
        self.usual_defaults: list[tuple[bytes, bytes]] | None = None

    def encode(self, answer: Answer, *, close: bool) -> bytes:
        """The whole answer: status line, headers and body."""
        status, body, headers = answer
        if status == 200 and not close:
            return b"%b%d\r\n\r\n%b" % (self._usual_head(headers), len(body), body)
        head = self._head(status, headers, close=close)
        if status == _NO_CONTENT:
            # It has no body, and so neither a type nor a length.
            return head + b"\r\n"
        return b"%b%d\r\n\r\n%b" % (head, len(body), body)

    def _usual_head(self, headers: Headers) -> bytes:
        defaults = self._server_state.default_headers
        if headers is not self.usual_headers or defaults is not self.usual_defaults:
            self.usual = self._head(200, headers, close=False)
            self.usual_headers, self.usual_defaults = headers, defaults
        return self.usual

    def _head(self, status: int, headers: Headers, *, close: bool) -> bytes:
        lines = [STATUS_LINE[status]]
        for name, value in self._server_state.default_headers:
            lines += (name, b": ", value, b"\r\n")
        for name, value in headers:
            lines += (name, b": ", value, b"\r\n")
        if close:
            lines.append(b"connection: close\r\n")
        if status != _NO_CONTENT:
            if not any(name == b"content-type" for name, _ in headers):
                lines.append(b"content-type: application/json\r\n")
            lines.append(b"content-length: ")
        return b"".join(lines)
