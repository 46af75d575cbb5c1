"""`manage.py query_measurements`: asks for samples as clients do, and tells how that went."""

import math
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from commons.commands import (
    count,
    rate,
    seconds,
    seconds_or_for_ever,
    stop_on_signals,
    whole,
)
from timeseries.load.asking import Bounds, broken
from timeseries.load.querying import Asked, Asking, ask_all


class Command(BaseCommand):
    help = "Asks for samples, and measures the lag; fails when a bound does not hold."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", default=f"http://127.0.0.1:{settings.PORT}")
        parser.add_argument("--clients", type=count, default=10)
        parser.add_argument("--rate", type=rate, default=1.0, help="questions a second of each")
        parser.add_argument("--tags", type=count, default=100, help="of the most frequent ones")
        parser.add_argument("--window", type=seconds, default=86_400.0, help="seconds")
        parser.add_argument(
            "--duration", type=seconds_or_for_ever, default=math.inf, help="seconds"
        )
        parser.add_argument("--max-errors", type=whole, default=0)
        parser.add_argument("--max-p99-ms", type=float)
        parser.add_argument("--max-lag-s", type=float)

    def handle(self, *args: Any, **options: Any) -> None:
        asking = Asking(
            url=options["url"],
            clients=options["clients"],
            rate=options["rate"],
            tags=options["tags"],
            window_s=options["window"],
            duration_s=options["duration"],
        )
        asked = ask_all(asking, wait=stop_on_signals().wait, report=self._tell)
        self._tell(asked)
        bounds = Bounds(
            errors=options["max_errors"], p99_ms=options["max_p99_ms"], lag_s=options["max_lag_s"]
        )
        found = broken(bounds, asked.answers, lag_s=asked.lag_s)
        if asked.lags.error_count > bounds.errors:
            found.append(f"{asked.lags.error_count} probes were not seen")
        if found:
            raise CommandError("; ".join(found))

    def _tell(self, asked: Asked) -> None:
        lags, words = asked.lags, asked.answers.words()
        lag_s, longest_s = lags.percentile_s(0.5), asked.lag_s or math.nan
        self.stdout.write(f"{words}; lag p50 {lag_s:.2f} s, longest {longest_s:.2f} s")
