"""Registers the adserver room with Django."""

from django.apps import AppConfig


class AdserverConfig(AppConfig):
    """The adserver room."""

    name = "adserver"
    verbose_name = "Advertising"
