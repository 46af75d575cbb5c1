"""`manage.py seed_ads`: made-up ads, for trying things out and for load."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from adserver.records import Actor, AdFields
from adserver.samples import random_ads
from adserver.services import IMPORT_ROWS_MAX, ads_import
from commons.commands import clear_errors
from runtime.progress import progress

ACTOR = Actor("seed_ads")


class Command(BaseCommand):
    help = "Adds made-up ads that are live now, the same ones for the same seed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--count", type=int, default=1_000, help="how many (default 1000)")
        parser.add_argument("--seed", type=int, default=0, help="which ones (default 0)")

    def handle(self, *args: Any, count: int, seed: int, **options: Any) -> None:
        if count < 1:
            raise CommandError("--count: must be 1 or more")
        ads = random_ads(count=count, now=timezone.now(), seed=seed)
        with clear_errors(), progress("ads", total=count, file=options.get("stderr")) as advance:
            for done in _imported(ads):
                advance(done)
        self.stdout.write(f"{count} ads added")


def _imported(ads: Iterator[AdFields]) -> Iterator[int]:
    """Import chunk by chunk, a transaction each; gives how many are in after each."""
    done = 0
    while chunk := list(islice(ads, IMPORT_ROWS_MAX)):
        done += len(ads_import(rows=chunk, actor=ACTOR))
        yield done
