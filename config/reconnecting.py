"""How the database pools of the processes come back after PostgreSQL was away.

psycopg's pool waits one second after a failed attempt, then two, four and so on, until it gives
up; meanwhile nobody else may try, and who already waits when it gives up is not tried for again.
So after an outage requests were refused although PostgreSQL was back: for as long as it had been
away with the pool's defaults, for three seconds with a pool that gives up early. The pool has no
setting for the pauses, only these attributes of its class; a test holds their names.
"""

from psycopg_pool.base import AttemptWithBackoff

# Between two attempts, for as long as PostgreSQL is away.
PAUSE_S = 0.5
# Long enough for every outage; after it the next request begins anew.
PERSEVERE_S = 86_400.0


def try_steadily() -> None:
    """Make every pool of this process try again at a steady pace."""
    AttemptWithBackoff.INITIAL_DELAY = PAUSE_S
    AttemptWithBackoff.DELAY_BACKOFF = 1.0
