"""Single rows by plain SQL, for the few statements that are asked so often that composing them anew
would take most of their time. Through Django's connection: its transactions, errors and metrics.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Model

Found = TypeVar("Found", bound=Model)


def find_row(model: type[Found], column: str, value: Any) -> Found | None:
    """The row whose unique `column` has the value, if there is one."""
    names, statement = _select(model, column)
    with connection.cursor() as cursor:
        cursor.execute(statement, [value])
        row = cursor.fetchone()
    return None if row is None else model.from_db(connection.alias, names, row)


def insert_row(model: type[Model], values: dict[str, Any]) -> None:
    """Insert a row with these columns; what is left out is the database's default or NULL. Raises
    what Django raises for a database error.
    """
    with connection.cursor() as cursor:
        cursor.execute(_insert(model, tuple(values)), tuple(values.values()))


def columns_of(model: type[Model]) -> str:
    """All columns of the model, of the table by that alias, as `row_of` takes their values."""
    return ", ".join([f'{model._meta.db_table}."{f.column}"' for f in model._meta.concrete_fields])


def row_of(model: type[Found], values: Sequence[Any]) -> Found:
    """The row with the values of `columns_of`."""
    return model.from_db(connection.alias, _names(model), values)


def insertion(model: type[Model], columns: Sequence[str], *, prefix: str, source: str) -> str:
    """The text of a statement that inserts, for each row of `source`, a row whose `column` is the
    parameter `prefix` + `column`.
    """
    names = ", ".join([f'"{column}"' for column in columns])
    places = ", ".join([f"%({prefix}{column})s" for column in columns])
    return f'INSERT INTO "{model._meta.db_table}" ({names}) SELECT {places} FROM {source}'  # noqa: S608


@cache
def _names(model: type[Model]) -> tuple[str, ...]:
    return tuple([field.attname for field in model._meta.concrete_fields])


@cache
def _select(model: type[Model], column: str) -> tuple[tuple[str, ...], str]:
    fields = model._meta.concrete_fields
    columns = ", ".join([f'"{field.column}"' for field in fields])
    statement = f'SELECT {columns} FROM "{model._meta.db_table}" WHERE "{column}" = %s'  # noqa: S608
    return tuple([field.attname for field in fields]), statement


@cache
def _insert(model: type[Model], columns: tuple[str, ...]) -> str:
    names = ", ".join([f'"{column}"' for column in columns])
    places = ", ".join(["%s"] * len(columns))
    return f'INSERT INTO "{model._meta.db_table}" ({names}) VALUES ({places})'  # noqa: S608
