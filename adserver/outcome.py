"""What became of a write whose COMMIT got no answer.

The connection may end after PostgreSQL has the COMMIT and before we have its word. PostgreSQL
remembers for a long time how each transaction ended, so another connection can ask whether ours is
over. Whether it is there, the change log says: after a failover to a server that never heard of
it, its number may be that of another.
"""

import time
from collections.abc import Callable

from django.db import DataError, InterfaceError, OperationalError, connection

from adserver.models import AdChange
from adserver.storing import LogRow
from runtime.errors import UncertainError

_ASK_FOR_S = 5.0
_PAUSE_S = 0.1


def was_committed(
    xid: str,
    entry: LogRow,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> bool:
    """Whether the transaction of that number (`pg_current_xact_id`) has left its log entry.

    Asks again while PostgreSQL is away or still at it. UncertainError when it has not said so
    after five seconds.
    """
    give_up_s = clock() + _ASK_FOR_S
    while clock() < give_up_s:
        try:
            if _is_over(xid):
                # In a statement of its own, which sees what was committed before it began.
                return _is_logged(entry)
        except (OperationalError, InterfaceError):
            connection.close()
        sleep(_PAUSE_S)
    raise UncertainError("database: went away at the commit; whether this was written is not known")


def _is_over(xid: str) -> bool:
    with connection.cursor() as cursor:
        try:
            # A standby may yet hear of it.
            cursor.execute(
                "SELECT CASE WHEN pg_is_in_recovery() THEN 'in recovery'"
                " ELSE pg_xact_status(%s::xid8) END",
                [xid],
            )
        except DataError:
            # The number is still to be given: here our transaction never was.
            return True
        return cursor.fetchone()[0] not in ("in recovery", "in progress")


def _is_logged(entry: LogRow) -> bool:
    return AdChange.objects.filter(
        version=entry.version, ad_id=entry.ad_id, created_at=entry.created_at
    ).exists()
