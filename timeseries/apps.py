"""Registers the timeseries room with Django."""

from django.apps import AppConfig


class TimeseriesConfig(AppConfig):
    """The timeseries room."""

    name = "timeseries"
    verbose_name = "Time series"
