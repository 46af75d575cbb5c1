"""`manage.py kdb_init`: loads the product's functions into kdb+, and makes its tables."""

from contextlib import closing
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from timeseries.opening import kdb_urls
from timeseries.records import StoreAwayError


class Command(BaseCommand):
    help = (
        "Loads deploy/kdb/timeseries.q into the kdb+ processes of KDB_URL and KDB_QUERY_URL; a "
        "chili that was started with deploy/kdb/chili.q has it. Their tables are made if there are "
        "none; what they hold is never touched."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", action="append", help="another process than the settings name")

    def handle(self, *args: Any, url: list[str] | None, **options: Any) -> None:
        try:
            from timeseries.stores.kdb_link import KdbAddress, KdbLink, init

            for each in dict.fromkeys(url or kdb_urls()):
                address = KdbAddress.of(each)
                with closing(KdbLink(address, timeout_s=30)) as link:
                    made = init(link)
                self.stdout.write(f"{address}: {'tables made' if made else 'tables kept'}")
        except ImportError as error:
            raise CommandError(f"kdb+ needs requirements/kdb.txt: {error}") from error
        except (StoreAwayError, ImproperlyConfigured, ValueError) as error:
            raise CommandError(str(error)) from error
