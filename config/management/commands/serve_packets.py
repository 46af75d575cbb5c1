"""`manage.py serve_packets`: account packets over TCP."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.packets.pool import PortInUseError
from config.packets import serve_packets


class Command(BaseCommand):
    help = "Serves account packets on PACKETS_PORT, WEB_CONCURRENCY processes, until SIGTERM."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            serve_packets()
        except PortInUseError as error:
            raise CommandError(str(error)) from error
