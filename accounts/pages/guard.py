"""What every page of an account shares: who is asking, and what the browser may do with it.

The cookie holds the same opaque token that programs send as `Authorization: Bearer`, so that a
session that is ended anywhere is ended here. Only these pages look at it: the API goes by the
header alone, so that no other site can make a browser use it.
"""

from collections.abc import Callable
from functools import wraps
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts.errors import SessionEndedError
from accounts.people import Person
from accounts.services import session_check

View = Callable[..., HttpResponseBase]

# Files of our own and nothing else; `blob:` is a picture that was chosen and not sent yet.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self' blob:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


def page(view: View) -> View:
    """A page that no cache keeps, where the browser runs and shows nothing but our own files."""

    @never_cache
    @sensitive_post_parameters()
    @wraps(view)
    def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response

    return guarded


def own_page(view: View) -> View:
    """A page of somebody who is logged in, passed on as `person`; others are led to log in."""

    @page
    @wraps(view)
    def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        person = person_of(request)
        if person is None:
            return _to_login(request)
        try:
            return view(request, person, *args, **kwargs)
        except SessionEndedError:
            # Just now, by an operator who has deleted the account.
            return _to_login(request)

    return guarded


def posted_only(back: str) -> Callable[[View], View]:
    """What a form is sent to: whoever merely comes by, as with the address of a mistake in the
    history, is led to the form, the page of the name `back`.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            if request.method in ("GET", "HEAD"):
                return redirect(back)
            return require_POST(view)(request, *args, **kwargs)

        return guarded

    return decorate


def person_of(request: HttpRequest) -> Person | None:
    """Who is asking; None for a stranger, and for somebody whose session is over."""
    token = token_of(request)
    return session_check(token=token) if token else None


def token_of(request: HttpRequest) -> str:
    """The session's token that the browser sent; empty without one."""
    return request.COOKIES.get(_cookie_name(), "")


def remember(response: HttpResponseBase, token: str) -> None:
    """Let the browser send the token with requests for these pages; no script gets to see it."""
    response.set_cookie(
        _cookie_name(),
        token,
        max_age=settings.ACCOUNT_SESSION_LONGEST_S,
        path="/",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def forget(response: HttpResponseBase) -> None:
    """Let the browser drop the token."""
    response.delete_cookie(_cookie_name(), path="/", samesite="Lax")


def target_of(request: HttpRequest) -> str:
    """Where to go on after logging in: a path of ours that `next` names, else empty."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if ours else ""


def _cookie_name() -> str:
    """With TLS a name that browsers keep to this host, and to encrypted connections."""
    return "__Host-account" if settings.SESSION_COOKIE_SECURE else "account"


def _to_login(request: HttpRequest) -> HttpResponseRedirect:
    # A form that was sent cannot be sent again by itself: then only to the profile.
    back = urlencode({"next": request.path}) if request.method == "GET" else ""
    response = redirect(f"{reverse('account_login')}{'?' if back else ''}{back}")
    if token_of(request):
        forget(response)
    return response
