"""The admin's rooms about people: users, groups, API tokens, sessions, lockouts, the account log.

Sessions, lockouts and the log are written by the product: here they are looked at, ended and
lifted, by `accounts.services`.
"""

from accounts.admin.groups import GroupAdmin
from accounts.admin.lockouts import LockoutAdmin
from accounts.admin.log import AuditEventAdmin
from accounts.admin.sessions import SessionAdmin
from accounts.admin.users import UserAdmin

__all__ = ["AuditEventAdmin", "GroupAdmin", "LockoutAdmin", "SessionAdmin", "UserAdmin"]
