"""In and out: register, log in, log out."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.middleware.csrf import rotate_token
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from accounts import services
from accounts.addresses import client_address
from accounts.errors import LockedError
from accounts.pages.forms import AccountForm, LoginForm, RegisterForm
from accounts.pages.guard import (
    forget,
    page,
    person_of,
    posted_only,
    remember,
    target_of,
)
from accounts.pages.refusals import Attempt, form_page
from accounts.pages.words import wait_words
from runtime.errors import BusyError

_METHODS = ("GET", "HEAD", "POST")


@page
@require_http_methods(_METHODS)
def register(request: HttpRequest) -> HttpResponseBase:
    """A new account, and logged in to it."""
    return _enter(request, RegisterForm, "register")


@page
@require_http_methods(_METHODS)
def login(request: HttpRequest) -> HttpResponseBase:
    """A new session of somebody who has an account."""
    return _enter(request, LoginForm, "login")


def _enter(request: HttpRequest, kind: type[AccountForm], name: str) -> HttpResponseBase:
    if request.method != "POST" and person_of(request):
        return redirect(target_of(request) or "account")
    form = kind(request.POST if request.method == "POST" else None)
    attempt = Attempt(form)
    if form.is_valid():
        enter = _register if name == "register" else _let_in
        with attempt:
            return enter(request, **form.cleaned_data)
    template = f"accounts/{name}.html"
    return form_page(request, template, attempt, form, here=name, next=target_of(request))


def _register(
    request: HttpRequest, username: str, nickname: str, password: str
) -> HttpResponseBase:
    services.user_register(
        username=username, nickname=nickname, password=password, address=client_address(request)
    )
    try:
        return _let_in(request, username, password)
    except (BusyError, LockedError) as error:
        # An address may be locked, for the failures of others.
        left = wait_words(error.retry_after_s) if isinstance(error, LockedError) else "a moment"
        messages.success(request, f"Your account is made. Log in to it in {left}.")
        return redirect("account_login")


def _let_in(request: HttpRequest, username: str, password: str) -> HttpResponseBase:
    opened = services.session_open(
        username=username,
        password=password,
        device=request.headers.get("User-Agent", ""),
        address=client_address(request),
    )
    # What a form of a stranger knew is of no use to one of theirs.
    rotate_token(request)
    response = redirect(target_of(request) or "account")
    remember(response, opened.token)
    return response


@page
@posted_only("account")
def logout(request: HttpRequest) -> HttpResponseBase:
    """The end of this session."""
    if person := person_of(request):
        services.session_close(person=person, address=client_address(request))
    messages.success(request, "You are logged out.")
    response = redirect("account_login")
    forget(response)
    return response
