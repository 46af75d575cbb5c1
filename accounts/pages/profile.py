"""Nickname, picture and password."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from accounts import services
from accounts.addresses import client_address
from accounts.images import IMAGE_BYTES_MAX
from accounts.pages.forms import NicknameForm, PasswordForm, PictureForm
from accounts.pages.guard import own_page, posted_only
from accounts.pages.refusals import Attempt, form_page
from accounts.people import Person

_METHODS = ("GET", "HEAD", "POST")


@own_page
@require_http_methods(_METHODS)
def profile(request: HttpRequest, person: Person) -> HttpResponseBase:
    """Who one is, and a form for the nickname."""
    if request.method != "POST":
        form = NicknameForm(initial={"nickname": person.nickname})
        return _profile_page(request, person, Attempt(form), form)
    form = NicknameForm(request.POST)
    attempt = Attempt(form)
    if form.is_valid():
        with attempt:
            services.nickname_change(person=person, nickname=form.cleaned_data["nickname"])
            messages.success(request, "Your nickname is saved.")
            return redirect("account")
    return _profile_page(request, person, attempt, form)


@own_page
@posted_only("account")
def picture_change(request: HttpRequest, person: Person) -> HttpResponseBase:
    """Another picture, or none."""
    if "remove" in request.POST:
        services.image_remove(person=person)
        messages.success(request, "Your picture is removed.")
        return redirect("account")
    form = PictureForm(request.POST, request.FILES)
    attempt = Attempt(form)
    if form.is_valid():
        with attempt:
            # One byte more than is allowed is enough to be refused.
            data = form.cleaned_data["image"].read(IMAGE_BYTES_MAX + 1)
            services.image_upload(person=person, data=data)
            messages.success(request, "Your picture is saved.")
            return redirect("account")
    return _profile_page(request, person, attempt, form)


def _profile_page(
    request: HttpRequest, person: Person, attempt: Attempt, form: NicknameForm | PictureForm
) -> HttpResponse:
    """The profile with both of its forms: `form`, and the other one as it stands."""
    given = isinstance(form, NicknameForm)
    context = {
        "person": person,
        "here": "profile",
        "nickname_form": form if given else NicknameForm(initial={"nickname": person.nickname}),
        "picture_form": PictureForm() if given else form,
        "initial": (person.nickname or person.username)[:1].upper(),
    }
    return form_page(request, "accounts/profile.html", attempt, form, **context)


@own_page
@require_http_methods(_METHODS)
def password(request: HttpRequest, person: Person) -> HttpResponseBase:
    """Another password, which ends all other sessions."""
    form = PasswordForm(request.POST if request.method == "POST" else None)
    attempt = Attempt(form)
    if form.is_valid():
        old, new = form.cleaned_data["old"], form.cleaned_data["new"]
        with attempt:
            services.password_change(
                person=person, old=old, new=new, address=client_address(request)
            )
            messages.success(request, "Your password is changed. All other devices are logged out.")
            return redirect("account")
    return form_page(
        request, "accounts/password.html", attempt, form, person=person, here="password"
    )
