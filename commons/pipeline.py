"""Messages to PostgreSQL by libpq's own calls, over a connection of psycopg's: several commands
are sent together, and their results read together.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn, PGresult


class Command(NamedTuple):
    """One step of a message: a prepared statement's name with values, or SQL without any. `name` is
    what that prepares.
    """

    text: bytes
    values: Sequence[bytes | bytearray | memoryview | None] | None = None
    name: str = ""


def talk(psycopg_connection: psycopg.Connection[Any], message: Sequence[Command]) -> list[PGresult]:
    """Send a message and wait for its results, see `hear`. A connection on which that was cut short
    is closed.
    """
    with psycopg_connection.lock:
        try:
            say(psycopg_connection, message)
            return hear(psycopg_connection)
        except BaseException:
            # Nobody knows what is still under way on it.
            psycopg_connection.close()
            raise


def say(psycopg_connection: psycopg.Connection[Any], message: Sequence[Command]) -> None:
    """Queue a message, most of which is sent then."""
    pgconn = psycopg_connection.pgconn
    pgconn.enter_pipeline_mode()
    for text, values, _ in message:
        if values is None:
            pgconn.send_query_params(text, None)
        else:
            pgconn.send_query_prepared(text, values)
    pgconn.pipeline_sync()


def hear(psycopg_connection: psycopg.Connection[Any]) -> list[PGresult]:
    """Wait for the results of a message, a command's each; the first that failed may be followed by
    some that were not tried, and by one of the end of all, which commits what has no COMMIT.
    psycopg.OperationalError when the connection was lost.
    """
    results = psycopg_connection.wait(_hearing(psycopg_connection.pgconn))
    psycopg_connection.pgconn.exit_pipeline_mode()
    return results


def _hearing(pgconn: PGconn) -> PQGen[list[PGresult]]:
    # libpq's own waiting would keep all other threads waiting as well.
    yield from generators.send(pgconn)
    results: list[PGresult] = []
    while pgconn.status != ConnStatus.BAD:
        fetched = yield from generators.fetch_many(pgconn)
        # The end of the message comes by itself.
        if fetched and fetched[0].status == ExecStatus.PIPELINE_SYNC:
            return results
        results += fetched
    raise psycopg.OperationalError(pgconn.get_error_message())
