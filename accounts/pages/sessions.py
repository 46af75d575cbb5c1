"""Where one is logged in, and logging out of it."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from accounts import selectors, services
from accounts.addresses import client_address
from accounts.devices import device_words
from accounts.errors import SessionNotFoundError
from accounts.models import Session
from accounts.pages.guard import own_page, posted_only
from accounts.pages.words import ago_words
from accounts.people import Person


@own_page
@require_safe
def sessions(request: HttpRequest, person: Person) -> HttpResponseBase:
    """All of one's sessions, this one first."""
    rows = [_row(session, person) for session in selectors.sessions_of(person.user_id)]
    rows.sort(key=lambda row: not row["current"])
    context = {"person": person, "here": "sessions", "rows": rows, "others": len(rows) > 1}
    return render(request, "accounts/sessions.html", context)


def _row(session: Session, person: Person) -> dict[str, Any]:
    return {
        "id": session.id,
        "device": device_words(session.device),
        "address": session.address,
        "created_at": session.created_at,
        "created": ago_words(session.created_at),
        "last_used_at": session.last_used_at,
        "used": ago_words(session.last_used_at),
        "current": session.id == person.session_id,
    }


@own_page
@posted_only("account_sessions")
def session_end(request: HttpRequest, person: Person, session_id: UUID) -> HttpResponseBase:
    """Log one device out."""
    try:
        services.session_end(person=person, session_id=session_id, address=client_address(request))
    except SessionNotFoundError:
        messages.success(request, "That device was logged out already.")
    else:
        messages.success(request, "The device is logged out.")
    return redirect("account_sessions")


@own_page
@posted_only("account_sessions")
def sessions_end_others(request: HttpRequest, person: Person) -> HttpResponseBase:
    """Log out all devices but this one."""
    services.sessions_close_others(person=person, address=client_address(request))
    messages.success(request, "All other devices are logged out.")
    return redirect("account_sessions")
