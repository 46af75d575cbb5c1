"""Django's doors to the time series: for requests that the fast path leaves to it.

A question or a measurement has one handler, behind the fast path and behind these views; `ask`
hands a request to it and waits for its answer. It is given where the views are mounted.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from timeseries.api import schema

Ask = Callable[[HttpRequest], HttpResponseBase]


def _not_mounted(view: APIView, request: HttpRequest) -> HttpResponseBase:
    raise NotImplementedError("`ask` is given where the view is mounted")


class _Door(APIView):
    """An endpoint for everybody, in the one form of answer there is."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    ask = _not_mounted

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        """Whatever is asked for: the hot doors do not read `Accept` either."""
        return super().perform_content_negotiation(request, force=True)


class SaveDoor(_Door):
    """One measurement."""

    @schema.save
    def post(self, request: Request) -> HttpResponseBase:
        """Answered once the measurement is on disk; it is then in the answers within 2 s.

        Same tag and time again: the later one wins.
        """
        return self.ask(request._request)


class SaveBatchDoor(_Door):
    """Many measurements."""

    @schema.save_batch
    def post(self, request: Request) -> HttpResponseBase:
        """All or nothing: an array, or one message a line. An error names the first bad message
        by its index, from 0.
        """
        return self.ask(request._request)


class SampleDoor(_Door):
    """A tag's samples."""

    @schema.sample
    def get(self, request: Request) -> HttpResponseBase:
        """Sample i of n has the time `start + i*(end-start)/n`, in whole nanoseconds.

        `last` gives the last measurement at or before it. The others work element by element on
        what lies after the sample before and not after this one; `lttb` picks the measurement
        that keeps the line's shape.
        """
        return self.ask(request._request)


class TagsDoor(_Door):
    """All tags."""

    @schema.tags
    def get(self, request: Request) -> HttpResponseBase:
        """With the times of the first and the last measurement that are kept, and their number."""
        return self.ask(request._request)


class ExportDoor(_Door):
    """Raw data."""

    @schema.export
    def get(self, request: Request) -> HttpResponseBase:
        """All measurements from `start` to before `end` in the order of their times, streamed."""
        return self.ask(request._request)


class GrafanaDoor(_Door):
    """What Grafana asks when a person saves the data source."""

    @schema.grafana_alive
    def get(self, request: Request) -> Response:
        """Always 200."""
        return Response({})


class GrafanaRowsDoor(_Door):
    """Rows for the Infinity data source."""

    @schema.grafana_rows
    def get(self, request: Request) -> HttpResponseBase:
        """`time` in milliseconds, `tag`, and `value1`, `value2` … for the elements."""
        return self.ask(request._request)


class GrafanaMetricsDoor(_Door):
    """Tags for the JSON data source."""

    @schema.grafana_metrics
    def post(self, request: Request) -> HttpResponseBase:
        """All tags, by name."""
        return self.ask(request._request)


class GrafanaSearchDoor(_Door):
    """The same for its older versions."""

    @schema.grafana_search
    def post(self, request: Request) -> HttpResponseBase:
        """All tags, by name."""
        return self.ask(request._request)


class GrafanaQueryDoor(_Door):
    """Datapoints for the JSON data source."""

    @schema.grafana_query
    def post(self, request: Request) -> HttpResponseBase:
        """For each target one series an element of its values, named `tag 1`, `tag 2` …"""
        return self.ask(request._request)
