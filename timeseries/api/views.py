"""Django's doors to the time series: for requests that the fast path leaves to it.

A question or a measurement has one handler, behind the fast path and behind these views; `ask`
hands a request to it and waits for its answer. It is given where the views are mounted.
"""

from django.http import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from commons.views import OpenDoor
from timeseries.api import schema


class SaveDoor(OpenDoor):
    """One measurement."""

    @schema.save
    def post(self, request: Request) -> HttpResponseBase:
        """Answered once the measurement is on disk; it is then in the answers within 2 s.

        Same tag and time again: the later one wins.
        """
        return self.ask(request._request)


class SaveBatchDoor(OpenDoor):
    """Many measurements."""

    @schema.save_batch
    def post(self, request: Request) -> HttpResponseBase:
        """All or nothing: an array, or one message a line. An error names the first bad message
        by its index, from 0.
        """
        return self.ask(request._request)


class SampleDoor(OpenDoor):
    """A tag's samples."""

    @schema.sample
    def get(self, request: Request) -> HttpResponseBase:
        """Sample i of n has the time `start + i*(end-start)/n`, in whole nanoseconds.

        `last` gives the last measurement at or before it. The others work element by element on
        what lies after the sample before and not after this one; `lttb` picks the measurement
        that keeps the line's shape.
        """
        return self.ask(request._request)


class TagsDoor(OpenDoor):
    """All tags."""

    @schema.tags
    def get(self, request: Request) -> HttpResponseBase:
        """With the times of the first and the last measurement that are kept, and their number."""
        return self.ask(request._request)


class ExportDoor(OpenDoor):
    """Raw data."""

    @schema.export
    def get(self, request: Request) -> HttpResponseBase:
        """All measurements from `start` to before `end` in the order of their times, streamed."""
        return self.ask(request._request)


class GrafanaDoor(OpenDoor):
    """What Grafana asks when a person saves the data source."""

    @schema.grafana_alive
    def get(self, request: Request) -> Response:
        """Always 200."""
        return Response({})


class GrafanaRowsDoor(OpenDoor):
    """Rows for the Infinity data source."""

    @schema.grafana_rows
    def get(self, request: Request) -> HttpResponseBase:
        """`time` in milliseconds, `tag`, and `value1`, `value2` … for the elements."""
        return self.ask(request._request)


class GrafanaMetricsDoor(OpenDoor):
    """Tags for the JSON data source."""

    @schema.grafana_metrics
    def post(self, request: Request) -> HttpResponseBase:
        """All tags, by name."""
        return self.ask(request._request)


class GrafanaSearchDoor(OpenDoor):
    """The same for its older versions."""

    @schema.grafana_search
    def post(self, request: Request) -> HttpResponseBase:
        """All tags, by name."""
        return self.ask(request._request)


class GrafanaQueryDoor(OpenDoor):
    """Datapoints for the JSON data source."""

    @schema.grafana_query
    def post(self, request: Request) -> HttpResponseBase:
        """For each target one series an element of its values, named `tag 1`, `tag 2` …"""
        return self.ask(request._request)
