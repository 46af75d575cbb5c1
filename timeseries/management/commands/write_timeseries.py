"""`manage.py write_timeseries`: drains the streams of measurements into the store until stopped."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from commons.commands import clear_errors, seconds, stop_on_signals
from runtime.http.answer import Answer
from runtime.http.errors import error_answer
from runtime.watch import watched
from timeseries.drain import Draining, Pace
from timeseries.management.telling import Teller
from timeseries.opening import STORES, open_streams, open_writer

_ALIVE = Answer(200, b'{"status":"ok"}')
_STUCK = error_answer(503, "writer: has not looked at its streams for a minute")
_STUCK_S = 60.0


class Command(BaseCommand):
    help = (
        "Writes the measurements that were accepted into the store, once a second or sooner. "
        "Several may run: each stream is written by one of them, and the others stand by."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--store", choices=STORES, default=settings.TIMESERIES_STORE)
        parser.add_argument(
            "--interval", type=seconds, default=1.0, help="seconds between two passes"
        )
        parser.add_argument("--once", action="store_true", help="write what waits now, then end")

    def handle(self, *args: Any, store: str, interval: float, once: bool, **options: Any) -> None:
        stopping = stop_on_signals()
        with clear_errors():
            writer = open_writer(store)
        teller = Teller(options.get("stderr") or sys.stderr, store=store)
        draining = Draining(
            writer=writer,
            streams=open_streams(),
            wait=stopping.wait,
            report=teller.tell,
            pace=Pace(interval_s=interval),
        )

        def healthz() -> Answer:
            return _ALIVE if draining.silent_s() < _STUCK_S else _STUCK

        try:
            if once:
                _drain_once(draining)
                return
            with watched(settings.BIND_HOST, settings.TIMESERIES_WATCH_PORT, healthz):
                draining.run()
        finally:
            writer.close()
            teller.close()


def _drain_once(draining: Draining) -> None:
    while draining.drain_all():
        pass
    if trouble := draining.progress.trouble:
        raise CommandError(trouble)
