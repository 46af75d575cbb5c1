"""`manage.py drain_counters`: drains the streams of increments into PostgreSQL until stopped."""

import sys
import time
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from commons.commands import AWAY, clear_errors, first_line, seconds, stop_on_signals
from counters.drain import drain_all

# How long one shard may keep the others waiting.
_SHARD_MOST_S = 5.0


class Command(BaseCommand):
    help = (
        "Counts the increments that were accepted. Celery's beat has this done once a second; this "
        "command does it in a process of its own. Any number may run: each stream is drained by "
        "one of them at a time, and the others stand by."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--shard", type=int, action="append", help="only this stream; may be repeated"
        )
        parser.add_argument("--interval", type=seconds, default=0.5, help="seconds between passes")
        parser.add_argument("--once", action="store_true", help="count what waits now, then end")

    def handle(
        self, *args: Any, shard: list[int] | None, interval: float, once: bool, **options: Any
    ) -> None:
        shards = shard or list(range(settings.COUNTERS_SHARDS))
        if not all(0 <= each < settings.COUNTERS_SHARDS for each in shards):
            last = settings.COUNTERS_SHARDS - 1
            raise CommandError(f"--shard: must be {f'from 0 to {last}' if last else '0'}")
        if once:
            with clear_errors():
                counted = sum(drain_all(each, until_s=float("inf")) for each in shards)
            self.stdout.write(f"{counted} increments counted")
            return
        self._keep_on(shards, interval)

    def _keep_on(self, shards: Sequence[int], interval_s: float) -> None:
        """What is begun when the signal comes is finished: a pass is one transaction."""
        stopping = stop_on_signals()
        trouble = ""
        while not stopping.is_set():
            try:
                for each in shards:
                    drain_all(each, until_s=time.monotonic() + _SHARD_MOST_S, stop=stopping.is_set)
                said = ""
            except AWAY as error:
                said = first_line(error)
            if said != trouble:
                print(f"not counted for now: {said}" if said else "counted again", file=sys.stderr)  # noqa: T201
                trouble = said
            stopping.wait(interval_s)
