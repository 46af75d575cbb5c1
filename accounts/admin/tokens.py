"""The page of a person's API token."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from rest_framework.authtoken.models import Token, TokenProxy

from accounts.models import User
from accounts.services import token_revoke, token_rotate

# The framework's own page would show everybody's key.
admin.site.unregister(TokenProxy)


def token_view(request: HttpRequest, model_admin: Any, user_id: int | None = None) -> HttpResponse:
    """A person's API token: their own to see and replace, another's to replace or revoke.

    Only superusers touch another's: who can make a token for somebody can act as them.
    """
    own = user_id is None or user_id == request.user.pk
    if not own and not request.user.is_superuser:
        raise PermissionDenied
    user = get_object_or_404(User, pk=request.user.pk if own else user_id)
    if request.method == "POST":
        return _write_token(request, user)
    token = Token.objects.filter(user=user).first()
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "My API token" if own else f"API token of {user.get_username()}",
        "person": user,
        "own": own,
        "token": token,
    }
    return TemplateResponse(request, "admin/accounts/user/token.html", context)


def _write_token(request: HttpRequest, user: User) -> HttpResponse:
    if "revoke" in request.POST:
        token_revoke(user=user)
        messages.success(request, f"The API token of {user.get_username()} no longer works.")
    else:
        key = token_rotate(user=user)
        messages.success(request, f"The new API token of {user.get_username()}: {key}")
    return HttpResponseRedirect(request.path)
