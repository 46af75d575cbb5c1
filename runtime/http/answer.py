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
