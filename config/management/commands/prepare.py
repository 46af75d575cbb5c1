"""`manage.py prepare`: everything a database needs before the first request. Safe to repeat."""

from functools import partial
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.utils import timezone

from accounts.services import operator_ensure, operators_group_ensure
from adserver.records import Actor
from adserver.samples import sample_ads
from adserver.selectors import catalog_is_new
from adserver.services import ads_import
from commons.commands import clear_errors
from config import env
from config.operator_file import OPERATOR_FILE, operator_credentials


class Command(BaseCommand):
    help = "Migrates, creates the first operator, and loads sample ads into an empty database."

    @clear_errors()
    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=options["verbosity"])
        operators_group_ensure()
        if operator_ensure(credentials=partial(operator_credentials, env.data_dir())):
            self.stdout.write(f"operator created, see {env.data_dir() / OPERATOR_FILE}")
        if catalog_is_new():
            ads = ads_import(rows=sample_ads(timezone.now()), actor=Actor("sample data"))
            self.stdout.write(f"{len(ads)} sample ads loaded")
