"""What can be done to many ads at once: end, extend, duplicate, delete.

Each asks first, on a page that says how many and which, and then passes one service, which is one
transaction. The list's actions and the buttons of a single ad lead to the same page.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminRadioSelectWidget

from adserver import services
from adserver.admin.words import actor_of
from adserver.models import Ad
from adserver.records import Actor, InvalidAdError
from commons.words import moment_words

ADS_MAX = 10_000
_DAYS_MAX = 3_650
_TITLES_SHOWN = 20
_OTHER = "other"
_OTHER_NAME = "Another number of days"


class ExtendForm(forms.Form):
    """By how long to extend."""

    by = forms.ChoiceField(
        label="Move the end by",
        choices=[("1", "1 day"), ("7", "7 days"), ("30", "30 days"), (_OTHER, _OTHER_NAME)],
        initial="7",
        widget=UnfoldAdminRadioSelectWidget,
    )
    days = forms.IntegerField(
        label="Number of days",
        required=False,
        min_value=1,
        max_value=_DAYS_MAX,
        widget=UnfoldAdminIntegerFieldWidget(attrs={"min": 1, "max": _DAYS_MAX}),
    )

    def clean(self) -> dict[str, Any]:
        """Ask for the number of days where it is needed, and refuse it where it would be lost."""
        by, days = self.cleaned_data.get("by"), self.cleaned_data.get("days")
        if by == _OTHER and days is None and "days" not in self.errors:
            self.add_error("days", "is required")
        elif by != _OTHER and days is not None:
            self.add_error("days", f"counts only with “{_OTHER_NAME}”")
        return self.cleaned_data

    def length(self) -> timedelta:
        """The time chosen."""
        by = self.cleaned_data["by"]
        return timedelta(days=self.cleaned_data["days"] if by == _OTHER else int(by))


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One thing to do to many ads. `run` gives how many it was done to."""

    permission: str
    title: str
    warning: str
    button: str
    done: str
    run: Callable[[Sequence[UUID], Actor, Any], int]
    form: type[ExtendForm] | None = None
    danger: bool = False


def _end(ids: Sequence[UUID], actor: Actor, form: Any) -> int:
    return services.ads_end_now(ad_ids=ids, actor=actor)


def _extend(ids: Sequence[UUID], actor: Actor, form: ExtendForm) -> int:
    return services.ads_extend(ad_ids=ids, by=form.length(), actor=actor)


def _duplicate(ids: Sequence[UUID], actor: Actor, form: Any) -> int:
    return len(services.ads_duplicate(ad_ids=ids, actor=actor))


def _delete(ids: Sequence[UUID], actor: Actor, form: Any) -> int:
    return services.ads_delete(ad_ids=ids, actor=actor)


OPERATIONS = {
    "end": Operation(
        permission="adserver.change_ad",
        title="End now",
        warning="Takes effect at once, for every visitor. What has ended already stays as it is. "
        "Extending an ad brings it back.",
        button="End now",
        done="ended",
        run=_end,
        danger=True,
    ),
    "extend": Operation(
        permission="adserver.change_ad",
        title="Extend",
        warning="Each end moves by this time. An ad that has ended runs again, from now on, for "
        "this time.",
        button="Extend",
        done="extended",
        run=_extend,
        form=ExtendForm,
    ),
    "duplicate": Operation(
        permission="adserver.add_ad",
        title="Duplicate",
        warning="A copy has the same flight and targeting: the copy of a live ad is shown at once.",
        button="Duplicate",
        done="duplicated",
        run=_duplicate,
    ),
    "delete": Operation(
        permission="adserver.delete_ad",
        title="Delete",
        warning="Takes effect at once, for every visitor, and cannot be undone. The history stays "
        "in the change log.",
        button="Delete",
        done="deleted",
        run=_delete,
        danger=True,
    ),
}


def bulk_view(request: HttpRequest, name: str, model_admin: Any) -> HttpResponse:
    """Ask (GET with `id`s), or do it (POST with `id`s)."""
    operation = _allowed(request, name)
    given = request.POST if request.method == "POST" else request.GET
    ids = _ids(given.getlist("id"))
    if not 0 < len(ids) <= ADS_MAX:
        return _refused(request, len(ids))
    form = operation.form(request.POST or None) if operation.form else None
    if request.method != "POST" or (form is not None and not form.is_valid()):
        return ask(request, name, ids, model_admin=model_admin, form=form)
    return _do(request, operation, ids, form)


def _allowed(request: HttpRequest, name: str) -> Operation:
    if name not in OPERATIONS:
        raise Http404
    if not request.user.has_perm(OPERATIONS[name].permission):
        raise PermissionDenied
    return OPERATIONS[name]


def _ids(texts: list[str]) -> list[UUID]:
    try:
        return [UUID(text) for text in texts]
    except ValueError:
        raise Http404 from None


def ask(
    request: HttpRequest, name: str, ids: Sequence[UUID], *, model_admin: Any, form: Any = None
) -> HttpResponse:
    """The page that asks before `name` is done to the ads with these ids."""
    if not 0 < len(ids) <= ADS_MAX:
        return _refused(request, len(ids))
    operation = OPERATIONS[name]
    ads = Ad.objects.filter(pk__in=ids).order_by("end_at", "id")
    context = {
        **model_admin.admin_site.each_context(request),
        "title": operation.title,
        "operation": operation,
        "action_url": reverse("admin:adserver_ad_bulk", args=[name]),
        "form": form or (operation.form() if operation.form else None),
        "count": len(ids),
        "ads": [(ad, moment_words(ad.end_at)) for ad in ads[:_TITLES_SHOWN]],
        "more": len(ids) - _TITLES_SHOWN,
        "ids": ids,
        "back": _back(request),
    }
    return TemplateResponse(request, "admin/adserver/ad/bulk.html", context)


def _refused(request: HttpRequest, count: int) -> HttpResponse:
    words = "No ad was chosen." if count == 0 else f"Choose at most {ADS_MAX:,} ads at once."
    messages.error(request, words)
    return HttpResponseRedirect(_back(request))


def _do(request: HttpRequest, operation: Operation, ids: Sequence[UUID], form: Any) -> HttpResponse:
    try:
        count = operation.run(ids, actor_of(request), form)
    except InvalidAdError as error:
        messages.error(request, f"Nothing was {operation.done}: {error}")
        return HttpResponseRedirect(_back(request))
    messages.success(request, _done_words(operation, count, len(ids)))
    return HttpResponseRedirect(_back(request))


def _done_words(operation: Operation, count: int, asked: int) -> str:
    words = f"{count:,} ad{'' if count == 1 else 's'} {operation.done}."
    others = asked - count
    if others == 0:
        return words
    return f"{words} The other {'one' if others == 1 else f'{others:,}'} needed nothing."


def _back(request: HttpRequest) -> str:
    """Where the person came from: a path of this site, else the list."""
    url = request.POST.get("back") or request.GET.get("back") or ""
    if url_has_allowed_host_and_scheme(url, allowed_hosts=None):
        return url
    here = request.get_full_path()
    changelist = reverse("admin:adserver_ad_changelist")
    return here if request.path == changelist else changelist
