"""Plain psycopg connections to Django's database, for what Django's own are not made for: binary
results, statements of ten thousand rows, threads that live as long as the process.
"""

from typing import Any

import psycopg
from django.db import connections

# What Django gives psycopg for connections of its own kind.
_DJANGOS = (
    "cursor_factory",
    "context",
    "pool",
    "server_side_binding",
    "prepare_threshold",
    "isolation_level",
)


def own_parameters(options: str = "") -> dict[str, Any]:
    """How to connect as Django does, in autocommit and in UTC; `options` are more of libpq's."""
    parameters = connections["default"].get_connection_params()
    for name in _DJANGOS:
        parameters.pop(name, None)
    options = f"{parameters.pop('options', '')} -c timezone=UTC {options}"
    return {**parameters, "options": options, "autocommit": True}


def connect(options: str = "") -> psycopg.Connection[Any]:
    """A connection of one's own. psycopg.OperationalError if none is to be had."""
    try:
        return psycopg.connect(**own_parameters(options))
    except UnicodeError as error:
        # Of a name that no host can have.
        raise psycopg.OperationalError(str(error)) from error
