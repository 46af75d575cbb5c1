"""`manage.py seed_users`: made-up users, for load."""

import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.errors import InvalidFieldError
from accounts.names import clean_password
from accounts.seeding import seed_name, users_seed
from commons.commands import clear_errors
from runtime.errors import ConflictError
from runtime.progress import progress


class Command(BaseCommand):
    help = "Adds made-up users seed-0, seed-1, … with one password."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--count", type=int, default=1_000, help="how many (default 1000)")
        parser.add_argument("--first", type=int, default=0, help="number of the first (default 0)")
        parser.add_argument("--password", default="", help="of them all (default: made, printed)")

    def handle(self, *args: Any, count: int, first: int, password: str, **options: Any) -> None:
        if count < 1 or first < 0:
            raise CommandError("--count must be 1 or more, --first 0 or more")
        password = password or secrets.token_urlsafe(12)
        try:
            clean_password(password)
            with (
                clear_errors(),
                progress("users", total=count, file=options.get("stderr")) as advance,
            ):
                for done in users_seed(count=count, first=first, password=password):
                    advance(done)
        except (InvalidFieldError, ConflictError) as error:
            raise CommandError(str(error)) from error
        last = seed_name(first + count - 1)
        self.stdout.write(f"{count} users added, {seed_name(first)} to {last}")
        self.stdout.write(f"password: {password}")
