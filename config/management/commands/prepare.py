"""`manage.py prepare`: everything a database needs before the first request. Safe to repeat."""

import time
from functools import partial
from typing import Any

import psycopg
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.utils import timezone

from accounts.services import operator_ensure, operators_group_ensure
from adserver.records import Actor
from adserver.samples import sample_ads
from adserver.selectors import catalog_is_new
from adserver.services import ads_import
from commons.commands import clear_errors
from commons.connecting import connect
from config import env
from config.operator_file import OPERATOR_FILE, operator_credentials

_PAUSE_S = 0.3


class Command(BaseCommand):
    help = "Migrates, creates the first operator, and loads sample ads into an empty database."

    @clear_errors()
    def handle(self, *args: Any, **options: Any) -> None:
        _wait_for_database()
        call_command("migrate", interactive=False, verbosity=options["verbosity"])
        operators_group_ensure()
        if operator_ensure(credentials=partial(operator_credentials, env.data_dir())):
            self.stdout.write(f"operator created, see {env.data_dir() / OPERATOR_FILE}")
        if catalog_is_new():
            ads = ads_import(rows=sample_ads(timezone.now()), actor=Actor("sample data"))
            self.stdout.write(f"{len(ads)} sample ads loaded")


def _wait_for_database() -> None:
    """Until it accepts a connection, for `DATABASE_CONNECT_TIMEOUT_S`; OperationalError then, which
    says why, as the pool of connections does not.
    """
    give_up_s = time.monotonic() + env.value("DATABASE_CONNECT_TIMEOUT_S")
    while True:
        try:
            connect().close()
        except psycopg.OperationalError:
            if time.monotonic() > give_up_s:
                raise
            time.sleep(_PAUSE_S)
        else:
            return
