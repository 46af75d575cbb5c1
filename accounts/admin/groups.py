"""Groups of permissions, and the fields by which people get them."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.models import Group, Permission
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelect2MultipleWidget

from commons.lists import CheckedChoice

_PERMISSIONS = ("permissions", "user_permissions")

admin.site.unregister(Group)


class ShortLists(ModelAdmin):
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


@admin.register(Group)
class GroupAdmin(ShortLists, CheckedChoice, DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc] # signatures differ in name only
    """Sets of permissions."""

    list_fullwidth = True
