"""`manage.py produce_measurements`: sends made-up measurements, and tells how that went."""

import math
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from commons.commands import count, seconds_or_for_ever, stop_on_signals, whole
from timeseries.load.asking import Bounds, broken
from timeseries.load.mix import DISTRIBUTIONS, Mix
from timeseries.load.producing import Plan, Produced, produce


class Command(BaseCommand):
    help = "Sends made-up measurements; fails when a request fails, or a bound does not hold."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", default=f"http://127.0.0.1:{settings.PORT}")
        parser.add_argument("--rate", type=count, default=10_000, help="messages a second")
        parser.add_argument(
            "--burst",
            type=whole,
            default=0,
            help="more of them in each minute's first second",
        )
        parser.add_argument("--tags", type=count, default=10_000)
        parser.add_argument("--distribution", choices=DISTRIBUTIONS, default="seed")
        parser.add_argument(
            "--duration", type=seconds_or_for_ever, default=math.inf, help="seconds"
        )
        parser.add_argument("--connections", type=count, default=2)
        parser.add_argument("--max-errors", type=whole, default=0)
        parser.add_argument("--max-p99-ms", type=float)
        parser.add_argument("--max-behind-s", type=float, help="seconds behind the plan")

    def handle(self, *args: Any, **options: Any) -> None:
        produced = produce(
            url=options["url"],
            mix=Mix(tags=options["tags"], distribution=options["distribution"]),
            plan=Plan(options["rate"], options["burst"], options["duration"]),
            connections=options["connections"],
            wait=stop_on_signals().wait,
            report=self._tell,
        )
        self._tell(produced)
        bounds = Bounds(
            errors=options["max_errors"],
            p99_ms=options["max_p99_ms"],
            behind_s=options["max_behind_s"],
        )
        if found := broken(bounds, produced.figures, behind_s=produced.behind_s):
            raise CommandError("; ".join(found))

    def _tell(self, produced: Produced) -> None:
        words = produced.figures.words()
        behind_s = produced.behind_s
        self.stdout.write(f"{produced.messages} messages; {words}; {behind_s:.1f} s behind at most")
