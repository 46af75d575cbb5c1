"""The form's and the delete page's way to the tables: the services, and nothing else."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.admin import ModelAdmin

from adserver import services
from adserver.admin.form import AdForm, EditConflictError
from adserver.admin.words import actor_of
from adserver.models import Ad, model_of


class AdWriting(ModelAdmin):
    """Every hook through which Django's admin would write an ad, led to a service."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The form; sends the person back to it when the ad moved under their hands."""
        try:
            response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except (EditConflictError, services.AdNotFoundError) as error:
            messages.error(request, f"Nothing was saved: {error}.")
            return HttpResponseRedirect(request.get_full_path())
        return response

    def save_model(self, request: HttpRequest, obj: Ad, form: AdForm, change: bool) -> None:
        """Create the ad or change it, through the services."""
        fields, actor = form.ad_fields, actor_of(request)
        assert fields is not None
        if not change:
            saved = model_of(services.ad_create(fields=fields, actor=actor))
        elif fields != form.seen:
            ad = services.ad_change(ad_id=obj.pk, change=form.merged, actor=actor)
            saved = model_of(ad)
        else:
            saved = obj
        for field in Ad._meta.concrete_fields:
            setattr(obj, field.attname, getattr(saved, field.attname))

    def delete_model(self, request: HttpRequest, obj: Ad) -> None:
        """Delete one ad."""
        services.ads_delete(ad_ids=[obj.pk], actor=actor_of(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Ad]) -> None:
        """Delete many."""
        ids = list(queryset.values_list("pk", flat=True))
        services.ads_delete(ad_ids=ids, actor=actor_of(request))

    # The change log is the one history: Django's own would say the same with less.

    def log_addition(self, request: HttpRequest, obj: Ad, message: Any) -> None:
        """Nothing: the service has logged it."""

    def log_change(self, request: HttpRequest, obj: Ad, message: Any) -> None:
        """Nothing: the service has logged it."""

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Ad]) -> None:
        """Nothing: the service has logged it."""
