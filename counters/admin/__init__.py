"""The admin's rooms for counters: totals with their history, and dead letters with their replay.

Nothing here writes a table; a replay goes through `counters.services`.
"""

from counters.admin.counters import CounterAdmin
from counters.admin.deadletters import DeadLetterAdmin

__all__ = ["CounterAdmin", "DeadLetterAdmin"]
