"""A new session in PostgreSQL: its row, the entry in the audit and the tries that are given back,
in one statement. So it is one round trip and one commit, and no lock outlives it.
"""

from typing import Any

from accounts.audit import Kind, audit_entry
from accounts.lockout import FORGIVING, Attempt, forgiving
from accounts.models import AuditEvent, Session, User
from commons.prepared import Named, fetch
from commons.rows import insertion

_SESSION, _AUDIT = "session_", "audit_"
_SESSION_COLUMNS = (
    "id", "token_hash", "user_id", "device", "address", "created_at", "last_used_at", "expires_at"
)  # fmt: skip
_AUDIT_COLUMNS = ("at", "kind", "user_id", "username", "address", "detail")
_OPEN = Named.of(
    "accounts_open",
    f"""
WITH opened AS ({insertion(Session, _SESSION_COLUMNS, prefix=_SESSION)}),
     noted AS ({insertion(AuditEvent, _AUDIT_COLUMNS, prefix=_AUDIT)}),
     {FORGIVING}
SELECT 1
""",
)


def session_insert(session: dict[str, Any], *, user: User, address: str, attempt: Attempt) -> None:
    """Insert a session of the user with these columns, after a try that succeeded."""
    entry = audit_entry(kind=Kind.LOGIN, user_id=user.pk, username=user.username, address=address)
    parameters = forgiving(attempt)
    parameters.update({_SESSION + column: session[column] for column in _SESSION_COLUMNS})
    parameters.update({_AUDIT + column: entry[column] for column in _AUDIT_COLUMNS})
    fetch(_OPEN, parameters)
