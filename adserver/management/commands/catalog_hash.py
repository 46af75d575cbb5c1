"""`manage.py catalog_hash`: what every worker should hold, rebuilt from what is stored."""

import json
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from adserver.index import CatalogIndex
from adserver.replica import load_snapshot
from adserver.selectors import TrimmedLogError, replayed_log
from commons.commands import clear_errors


class Command(BaseCommand):
    help = (
        "Prints version and hash of a catalog rebuilt from the tables; `/readyz` shows those of "
        "every worker. With --from-log it is rebuilt from the change log alone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object")
        parser.add_argument("--from-log", action="store_true", help="by replaying the whole log")

    def handle(self, *args: Any, from_log: bool, **options: Any) -> None:
        with clear_errors():
            index = _from_log() if from_log else _from_tables()
        version, digest, open_ads, live_ads = index.state()
        if options["json"]:
            state = {"version": version, "hash": digest, "open_ads": open_ads, "live_ads": live_ads}
            self.stdout.write(json.dumps(state))
        else:
            self.stdout.write(
                f"version {version} hash {digest} open ads {open_ads} live {live_ads}"
            )


def _raw_connection() -> psycopg.Connection[Any]:
    connection.ensure_connection()
    raw: psycopg.Connection[Any] = connection.connection
    return raw


def _from_tables() -> CatalogIndex:
    index = CatalogIndex()
    with connection.wrap_database_errors:
        load_snapshot(_raw_connection(), index)
    return index


def _from_log() -> CatalogIndex:
    index = CatalogIndex()
    index.load([], version=0)
    try:
        with connection.wrap_database_errors:
            for change in replayed_log(_raw_connection()):
                index.apply(version=change.version, ad_id=change.ad_id, record=change.record)
    except TrimmedLogError as error:
        raise CommandError(str(error)) from None
    return index
