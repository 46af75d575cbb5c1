"""A new session in PostgreSQL: its row, the entry in the audit and the tries that are given back,
in one statement. So it is one round trip and one commit, and no lock outlives it.
"""

from typing import Any

from accounts.audit import Kind, audit_entry
from accounts.errors import BadCredentialsError
from accounts.lockout import Attempt, forgiving, forgiving_if
from accounts.models import AuditEvent, Session, User
from commons.prepared import Named, fetch
from commons.rows import insertion

_SESSION, _AUDIT = "session_", "audit_"
_SESSION_COLUMNS = (
    "id", "token_hash", "user_id", "device", "address", "created_at", "last_used_at", "expires_at"
)  # fmt: skip
_AUDIT_COLUMNS = ("at", "kind", "user_id", "username", "address", "detail")
# While the password was looked at it may have been changed, or the person deleted. Their row is
# locked: who changes it meanwhile either comes first and leaves nobody here, or finds the session
# among those to be ended.
_OPEN = Named.of(
    "accounts_open",
    f"""
WITH person AS (
    SELECT FROM accounts_user
    WHERE id = %(session_user_id)s AND password = %(verified)s AND is_active FOR SHARE
), opened AS ({insertion(Session, _SESSION_COLUMNS, prefix=_SESSION, source="person")} RETURNING 1),
   noted AS ({insertion(AuditEvent, _AUDIT_COLUMNS, prefix=_AUDIT, source="person")}),
   {forgiving_if("EXISTS (SELECT FROM person)")}
SELECT count(*) FROM opened
""",  # noqa: S608
)


def session_insert(session: dict[str, Any], *, user: User, address: str, attempt: Attempt) -> None:
    """Insert a session of the user with these columns, after a try that succeeded.
    BadCredentialsError, and nothing is done, when the user has another password by now, or may not
    log in any more.
    """
    entry = audit_entry(kind=Kind.LOGIN, user_id=user.pk, username=user.username, address=address)
    parameters = forgiving(attempt)
    parameters["verified"] = user.password
    parameters.update({_SESSION + column: session[column] for column in _SESSION_COLUMNS})
    parameters.update({_AUDIT + column: entry[column] for column in _AUDIT_COLUMNS})
    (opened,) = fetch(_OPEN, parameters)
    if not opened:
        raise BadCredentialsError
