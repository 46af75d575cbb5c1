"""What a connection may take of a worker."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Sizes and times of one connection. Times are kept to within a second or two.

    A slow body gets `body_s` plus one second for every `body_rate_bytes` that have arrived. A
    client that reads nothing for `send_s`, while an answer waits for it, is cut off.
    `linger_s` is how long a refused client may go on sending before the connection is cut, so
    that it can read why; `farewell_s` how long a stopping worker waits for a next request, which
    it answers with `connection: close`.
    """

    head_bytes: int = 65_536
    body_bytes: int = 33_554_432
    keep_alive_s: int = 75
    head_s: int = 20
    body_s: int = 30
    body_rate_bytes: int = 4_096
    send_s: int = 60
    linger_s: int = 2
    farewell_s: int = 2
