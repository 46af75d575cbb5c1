"""Django's doors to the counters: for requests that the fast path leaves to it, and for reads.

Increments have one handler, behind the fast path and behind these views; `ask` hands a request to
it and waits for its answer. It is given where the views are mounted.
"""

from django.http import HttpResponseBase
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from commons.views import OpenDoor
from counters import selectors
from counters.api import schema
from counters.queries import parse_key, parse_keys, parse_window


def _query(request: Request) -> bytes:
    """The raw query string. ASGI's Django has decoded it as UTF-8."""
    return str(request.META.get("QUERY_STRING", "")).encode()


class IncrementDoor(OpenDoor):
    """One increment."""

    @schema.increment
    def post(self, request: Request) -> HttpResponseBase:
        """Answered once the increment is on disk; it is then counted exactly once."""
        return self.ask(request._request)


class IncrementBatchDoor(OpenDoor):
    """Many increments."""

    @schema.increment_batch
    def post(self, request: Request) -> HttpResponseBase:
        """All or nothing. An error names the first bad increment by its index, from 0."""
        return self.ask(request._request)


class CounterTotal(OpenDoor):
    """One total."""

    @schema.total
    def get(self, request: Request, key: str) -> Response:
        """A counter that nobody ever incremented is at 0."""
        [total] = selectors.totals([parse_key(key)])
        return Response(total._asdict())


class CounterTotals(OpenDoor):
    """Many totals."""

    @schema.totals
    def get(self, request: Request) -> Response:
        """In the order asked for."""
        found = selectors.totals(parse_keys(_query(request)))
        return Response({"counters": [total._asdict() for total in found]})


class CounterHistory(OpenDoor):
    """One counter's history."""

    @schema.history
    def get(self, request: Request, key: str) -> Response:
        """Minutes, hours or days, each with what was added in it."""
        counter = parse_key(key)
        window = parse_window(_query(request), now=timezone.now())
        grown = selectors.history(counter, window)
        buckets = [{"start": at, "value": grown.get(at, 0)} for at in window.starts()]
        return Response({"key": counter, **window._asdict(), "buckets": buckets})
