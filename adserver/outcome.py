"""What became of a transaction whose COMMIT got no answer.

The connection may end after PostgreSQL has the COMMIT and before we have its word. PostgreSQL
remembers for a long time how each transaction ended, so another connection can ask.
"""

import time
from collections.abc import Callable

from django.db import InterfaceError, OperationalError, connection

from runtime.errors import UncertainError

_ASK_FOR_S = 5.0
_PAUSE_S = 0.1


def was_committed(
    xid: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> bool:
    """Whether the transaction of that number (`pg_current_xact_id`) was committed.

    Asks again while PostgreSQL is away or still at it. UncertainError when it has not said so
    after five seconds.
    """
    give_up_s = clock() + _ASK_FOR_S
    while clock() < give_up_s:
        try:
            status = _status(xid)
        except (OperationalError, InterfaceError):
            connection.close()
        else:
            if status in ("committed", "aborted"):
                return status == "committed"
        sleep(_PAUSE_S)
    raise UncertainError("database: went away at the commit; whether this was written is not known")


def _status(xid: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_xact_status(%s::xid8)", [xid])
        return str(cursor.fetchone()[0])
