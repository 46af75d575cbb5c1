"""One kept connection that asks and measures, and what many of them have measured."""

import http.client
import math
import threading
import time
from typing import NamedTuple
from urllib.parse import urlsplit

TIMEOUT_S = 30.0


class Reply(NamedTuple):
    """An answer, and the seconds until its last byte. Status 0: none came."""

    status: int
    body: bytes
    duration_s: float


class Connection:
    """A connection to the product, made anew after a failure. For one thread."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = kind(parts.netloc, timeout=TIMEOUT_S)

    def ask(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """One request and its answer; a connection that fails is an answer with status 0."""
        began_s = time.monotonic()
        try:
            self._connection.request(method, path, body)
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return Reply(0, b"", time.monotonic() - began_s)
        return Reply(response.status, answer, time.monotonic() - began_s)

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


class Figures:
    """Durations and errors, added by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.durations_s: list[float] = []
        self.errors: dict[int, int] = {}

    def add(self, status: int, duration_s: float) -> None:
        """One request; only 200 is not an error."""
        with self._lock:
            if status == 200:
                self.durations_s.append(duration_s)
            else:
                self.errors[status] = self.errors.get(status, 0) + 1

    @property
    def error_count(self) -> int:
        """How many requests failed."""
        return sum(self.errors.values())

    def percentile_s(self, share: float) -> float:
        """The duration that `share` of the requests did not exceed; NaN without any."""
        ordered = sorted(self.durations_s)
        if not ordered:
            return math.nan
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]

    def words(self) -> str:
        """For people: how many, how fast, how many not."""
        fast, slow = (self.percentile_s(share) * 1000 for share in (0.5, 0.99))
        errors = ", ".join(f"{n} x {status or 'no answer'}" for status, n in self.errors.items())
        count = len(self.durations_s)
        return f"{count} answers, p50 {fast:.1f} ms, p99 {slow:.1f} ms, errors: {errors or 'none'}"


class Bounds(NamedTuple):
    """What must hold at the end; None where anything goes."""

    errors: int = 0
    p99_ms: float | None = None
    lag_s: float | None = None
    behind_s: float | None = None


def broken(
    bounds: Bounds, figures: Figures, *, lag_s: float | None = None, behind_s: float | None = None
) -> list[str]:
    """The bounds that do not hold, in words."""
    found = []
    if figures.error_count > bounds.errors:
        found.append(f"{figures.error_count} errors, {bounds.errors} allowed")
    for name, most, value in (
        ("p99", bounds.p99_ms, figures.percentile_s(0.99) * 1000),
        ("lag", bounds.lag_s, lag_s),
        ("behind", bounds.behind_s, behind_s),
    ):
        # Nothing measured keeps no bound.
        if most is not None and not (value is not None and value <= most):
            found.append(f"{name} {value if value is None else round(value, 3)}, {most:g} allowed")
    return found
