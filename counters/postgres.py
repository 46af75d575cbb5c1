"""A plain psycopg connection to Django's database, for statements of ten thousand rows.

Django's own binds parameters into the text of a statement and cannot ask for binary results.
"""

from typing import Any

import psycopg
from django.db import connections

_NOT_PSYCOPGS = (
    "cursor_factory",
    "context",
    "pool",
    "server_side_binding",
    "prepare_threshold",
    "isolation_level",
)


def connect() -> psycopg.Connection[Any]:
    """A connection of one's own, in autocommit, in UTC. psycopg.OperationalError if none is to
    be had.
    """
    parameters = connections["default"].get_connection_params()
    for name in _NOT_PSYCOPGS:
        parameters.pop(name, None)
    options = f"{parameters.pop('options', '')} -c timezone=UTC"
    return psycopg.connect(**parameters, options=options, autocommit=True)
