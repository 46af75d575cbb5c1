"""Made-up users by COPY, as many as a load test wants."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from psycopg import sql

from accounts.models import User
from accounts.names import username_key
from runtime.errors import ConflictError

# Users that share a hash: a salt for each would take days for what nobody attacks.
USERS_A_HASH = 1_000
USERS_A_CHUNK = 100_000
_COLUMNS = (
    "username",
    "username_key",
    "nickname",
    "image",
    "password",
    "date_joined",
    "first_name",
    "last_name",
    "email",
    "is_superuser",
    "is_staff",
    "is_active",
)


def seed_name(number: int) -> str:
    """The username of a made-up user, counted from 0."""
    return f"seed-{number}"


def users_seed(*, count: int, first: int = 0, password: str) -> Iterator[int]:
    """Add users `seed-<first>`, `seed-<first + 1>`, … with one password, chunk by chunk; gives how
    many are in after each. ConflictError when there are such users already: of their chunk nothing
    is written then.
    """
    last = first + count
    with ThreadPoolExecutor(os.cpu_count()) as hashers:
        for start in range(first, last, USERS_A_CHUNK):
            end = min(last, start + USERS_A_CHUNK)
            hashes = hashers.map(make_password, [password] * _groups(end - start))
            try:
                with transaction.atomic():
                    _copy(start, end, list(hashes))
            except IntegrityError as error:
                raise ConflictError(
                    f"some of the users {seed_name(start)} to {seed_name(end - 1)} exist already"
                ) from error
            yield end - first


def _groups(users: int) -> int:
    return -(-users // USERS_A_HASH)


def _copy(start: int, end: int, hashes: list[str]) -> None:
    """Insert the users with these numbers, as text that needs no escaping."""
    joined_at = timezone.now().isoformat()
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(User._meta.db_table), sql.SQL(", ").join(map(sql.Identifier, _COLUMNS))
    )
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.copy(statement) as copy,
    ):
        for at, hashed in zip(range(start, end, USERS_A_HASH), hashes, strict=True):
            rest = f"{hashed}\t{joined_at}\t\t\t\tf\tf\tt\n"
            names = map(seed_name, range(at, min(end, at + USERS_A_HASH)))
            copy.write("".join(f"{name}\t{username_key(name)}\t{name}\t\t{rest}" for name in names))
