"""The admin of people: users, groups, and API tokens."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timezone import localtime
from rest_framework.authtoken.models import Token, TokenProxy
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelect2MultipleWidget

from accounts.models import User
from accounts.services import token_revoke, token_rotate

_PERMISSIONS = ("permissions", "user_permissions")

# The framework's own page would show everybody's key.
admin.site.unregister(TokenProxy)
admin.site.unregister(Group)


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


class _ShortLists(ModelAdmin):
    """Groups and permissions as one searchable field each instead of two long lists."""

    filter_horizontal: Any = ()

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """The field, with the names of all permissions in one query."""
        widget = UnfoldAdminSelect2MultipleWidget()
        as_made = dict(widget.attrs)
        if db_field.name in _PERMISSIONS:
            kwargs["queryset"] = Permission.objects.select_related("content_type")
        field = super().formfield_for_manytomany(db_field, request, widget=widget, **kwargs)
        # The theme restyles any such widget as a plain list.
        field.widget.attrs.update(as_made)
        return field


@admin.register(User)
class UserAdmin(_ShortLists, DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg] # not generic when it runs
    """People who can log in."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "role_shown", "token_shown", "seen_shown", "is_active")
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")
    list_filter_sheet = True
    list_fullwidth = True
    compressed_fields = True
    actions_detail = ("token_one",)
    custom_urls = (
        ("token/", "accounts_user_token", token_view),
        ("<int:user_id>/token/", "accounts_user_token_of", token_view),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Users with their token, in one query."""
        users: QuerySet[User] = super().get_queryset(request)
        return users.select_related("auth_token")

    @display(description="Role")
    def role_shown(self, user: User) -> str:
        """What the person may do, in a word."""
        if user.is_superuser:
            return "Everything"
        return "Staff" if user.is_staff else "No access to the admin"

    @display(description="API token")
    def token_shown(self, user: User) -> str:
        """Whether the person has one."""
        return "yes" if hasattr(user, "auth_token") else "no"

    @display(description="Last login", ordering="last_login")
    def seen_shown(self, user: User) -> str:
        """When the person last logged in, written as every time of the admin."""
        return date_format(localtime(user.last_login), "j M Y H:i") if user.last_login else "never"

    @action(description="API token", icon="key", url_path="to-token", permissions=["token"])
    def token_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the page of this person's token."""
        return HttpResponseRedirect(reverse("admin:accounts_user_token_of", args=[object_id]))

    def has_token_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the person asking may touch this token."""
        return request.user.is_superuser or str(obj) == str(request.user.pk)


@admin.register(Group)
class GroupAdmin(_ShortLists, DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc] # signatures differ in name only
    """Sets of permissions."""

    list_fullwidth = True
