"""The admin of people: who they are, what they may do, and what an operator can do for them."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Greatest
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.forms import AdminPasswordChangeForm

from accounts.admin.editing import UserEditing
from accounts.admin.forms import PersonChangeForm, PersonCreationForm
from accounts.admin.groups import ShortLists
from accounts.admin.tokens import token_view
from accounts.admin.words import when_words
from accounts.models import Session, User
from accounts.names import username_key
from accounts.pictures import picture_url
from commons.lists import LongList


@admin.register(User)
class UserAdmin(UserEditing, ShortLists, LongList, DjangoUserAdmin, ModelAdmin):  # type: ignore[misc,type-arg] # not generic when it runs
    """People who can log in."""

    form = PersonChangeForm
    add_form = PersonCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = (
        *("username", "nickname", "email", "role_shown", "token_shown", "seen_shown", "is_active"),
    )
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")
    compressed_fields = True
    actions_detail = ("token_one", "sessions_one", "log_one")
    readonly_fields = ("picture_shown", "last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("nickname", "picture_shown", "first_name", "last_name", "email")}),
        (
            "Permissions",
            {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")},
        ),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    search_fields = ("username_key",)
    search_help_text = "A username, or its beginning"
    custom_urls = (
        ("token/", "accounts_user_token", token_view),
        ("<int:user_id>/token/", "accounts_user_token_of", token_view),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Users with their token and their newest session, in one query."""
        users: QuerySet[User] = super().get_queryset(request)
        newest = Session.objects.filter(user=OuterRef("pk")).order_by("-created_at")
        return users.select_related("auth_token").annotate(
            seen_at=Greatest("last_login", Subquery(newest.values("created_at")[:1]))
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        """People whose name begins so; looked up in an index, however many there are."""
        key = username_key(search_term.strip())
        return (queryset.filter(username_key__startswith=key) if key else queryset), False

    @display(description="Admin")
    def role_shown(self, user: User) -> str:
        """What the person may do in the admin, in a word."""
        if user.is_superuser:
            return "Everything"
        return "Staff" if user.is_staff else "None"

    @display(description="API token")
    def token_shown(self, user: User) -> str:
        """Whether the person has one."""
        return "yes" if hasattr(user, "auth_token") else "no"

    @display(description="Last login")
    def seen_shown(self, user: User) -> str:
        """When the person last logged in, to the admin or anywhere else."""
        return when_words(user.seen_at)  # type: ignore[attr-defined] # annotated

    @display(description="Picture")
    def picture_shown(self, user: User) -> str:
        """The picture that the person has chosen."""
        if not user.image:
            return "None"
        url = picture_url(user.image)
        return format_html('<img class="ah-face" src="{}" alt="" width="96" height="96">', url)

    @action(description="API token", icon="key", url_path="to-token", permissions=["token"])
    def token_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the page of this person's token."""
        return HttpResponseRedirect(reverse("admin:accounts_user_token_of", args=[object_id]))

    @action(
        description="Sessions", icon="devices", url_path="to-sessions", permissions=["sessions"]
    )
    def sessions_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To this person's sessions."""
        return _to_list("session", object_id)

    @action(description="Audit events", icon="history", url_path="to-log", permissions=["log"])
    def log_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To what happened to this account."""
        return _to_list("auditevent", object_id)

    def has_token_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the person asking may touch this token."""
        return request.user.is_superuser or str(obj) == str(request.user.pk)

    def has_sessions_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the person asking may see sessions."""
        return request.user.has_perm("accounts.view_session")

    def has_log_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the person asking may see the log."""
        return request.user.has_perm("accounts.view_auditevent")


def _to_list(model: str, user_id: str) -> HttpResponse:
    query = urlencode({"user": user_id})
    return HttpResponseRedirect(f"{reverse(f'admin:accounts_{model}_changelist')}?{query}")
