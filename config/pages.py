"""The page at `/`: what answers here, and where to go on."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The front door. Needs no store of its own, so that strangers find it whatever is down."""
    return render(request, "home.html")
