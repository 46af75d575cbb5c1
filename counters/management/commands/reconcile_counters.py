"""`manage.py reconcile_counters`: compares every cached total with PostgreSQL, and repairs."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from commons.commands import clear_errors
from counters.reconcile import reconcile
from counters.totals import totals_cache


class Command(BaseCommand):
    help = "Compares the cache of totals with the database, and removes what differs from it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_errors():
            done = reconcile(totals_cache())
        if options["json"]:
            self.stdout.write(
                json.dumps(
                    {"checked": done.checked, "delayed": done.delayed, "different": done.different}
                )
            )
        else:
            self.stdout.write(
                f"{done.checked} totals compared, {done.delayed} behind for now, "
                f"{done.different} wrong and removed"
            )
