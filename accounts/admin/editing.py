"""What follows when an operator writes a user's row: all processes hear of it, and whoever may no
longer log in, or not with that password, is logged out.
"""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin

from accounts import services
from accounts.admin.words import logged_out_words
from accounts.models import User
from accounts.selectors import person_of

# What an operator changes is not changed from one of the person's own devices.
NO_SESSION = UUID(int=0)


class UserEditing(ModelAdmin):
    """The hooks through which the admin writes users, and buttons for many of them."""

    actions = ("log_out", "remove_pictures", "delete_selected")

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Write the row, and have it known."""
        services.user_save(user=obj, new=not change, actor=request.user.get_username())

    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002 # the framework's name
        form_url: str = "",
    ) -> HttpResponse:
        """The framework's page for another's password; a new one ends all their sessions."""
        with transaction.atomic():
            answer: HttpResponse = super().user_change_password(request, id, form_url)
            if request.method == "POST" and answer.status_code == 302:
                actor = request.user.get_username()
                services.user_edited(user_id=int(id), sign_out=True, actor=actor)
        return answer

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        """Delete one person, and what is kept of them elsewhere."""
        self.delete_queryset(request, User.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Delete people, and what is kept of them elsewhere."""
        user_ids = list(queryset.values_list("pk", flat=True))
        services.users_delete(user_ids=user_ids, actor=request.user.get_username())

    @admin.action(description="Log out of all devices", permissions=["change"])
    def log_out(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """End all sessions of the chosen people."""
        actor = request.user.get_username()
        ended = sum(
            services.sessions_close_all(user_id=user_id, actor=actor)
            for user_id in list(queryset.values_list("pk", flat=True))
        )
        messages.success(request, logged_out_words(ended))

    @admin.action(description="Remove the picture", permissions=["change"])
    def remove_pictures(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Take away pictures that nobody should have to see."""
        people = [person_of(user, NO_SESSION) for user in queryset.exclude(image="")]
        for person in people:
            services.image_remove(person=person)
        pictures = "1 picture" if len(people) == 1 else f"{len(people)} pictures"
        messages.success(request, f"{pictures} removed.")
