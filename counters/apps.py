"""Registers the counters room with Django."""

from django.apps import AppConfig


class CountersConfig(AppConfig):
    """The counters room."""

    name = "counters"
    verbose_name = "Counters"
