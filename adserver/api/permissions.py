"""Who may use the operator's endpoints."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

PERMISSION_OF_METHOD = {
    "POST": "adserver.add_ad",
    "PUT": "adserver.change_ad",
    "PATCH": "adserver.change_ad",
    "DELETE": "adserver.delete_ad",
}


def may(user: Any, method: str) -> bool:
    """Whether a user may use a method of the operator's endpoints; None is nobody."""
    needed = PERMISSION_OF_METHOD.get(method, "adserver.view_ad")
    return bool(user and user.is_authenticated and user.is_staff and user.has_perm(needed))


class IsOperator(BasePermission):
    """Staff with the model permission that the method needs; reading needs `view_ad`."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether the request may go on."""
        return may(request.user, request.method or "")
