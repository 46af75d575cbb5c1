"""What a connection may take of a process, and all connections together."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Sizes and times of connections. Times are kept to within a second or two.

    `idle_s` is how long a client may send no whole line; one that reads nothing for `send_s`, while
    answers wait for it, is cut off. `linger_s` is how long a connection that was ended from here
    may stay until the client has read what was said last. `connections` is how many one process
    serves. `threads` work on packets that memory cannot answer, in each of two lanes. `waiting`
    more that need a hash may wait for a thread; those that need a store cost so little that one of
    each connection may. Either waits `patience_s` at most.
    """

    line_bytes: int = 65_536
    idle_s: int = 300
    send_s: int = 60
    linger_s: int = 5
    connections: int = 20_000
    threads: int = 4
    waiting: int = 256
    patience_s: float = 5.0
