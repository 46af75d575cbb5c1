"""`manage.py sweep_pictures`: remove pictures that nobody has."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.pictures import PictureStoreError
from accounts.sweeping import pictures_sweep


class Command(BaseCommand):
    help = "Remove pictures that are nobody's, and an hour old: what a crash left behind."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            looked_at, removed = pictures_sweep()
        except PictureStoreError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{looked_at} pictures, {removed} removed")
