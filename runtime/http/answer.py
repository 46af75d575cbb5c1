"""What a hot handler gives back, whichever door the request came through."""

from typing import NamedTuple

Headers = tuple[tuple[bytes, bytes], ...]


class Answer(NamedTuple):
    """One HTTP answer with a JSON body.

    `headers` holds extra headers only (lower-case names, values without CR or LF); the door adds
    content type, content length and date. Handlers share one `headers` tuple between answers, so
    that a door may keep its encoded form.
    """

    status: int
    body: bytes
    headers: Headers = ()

    def text_headers(self) -> dict[str, str]:
        """The extra headers as text, for doors that want it so."""
        return {name.decode(): value.decode() for name, value in self.headers}


# What a handler replies when it cannot say what became of a request: the connection closes without
# an answer, as if the server had been cut off. Status 0, since it is none of HTTP's.
UNKNOWN = Answer(0, b"")
