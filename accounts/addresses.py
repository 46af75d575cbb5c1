"""Which address a request comes from, for lockouts and the account log."""

from functools import cache

from django.conf import settings
from django.http import HttpRequest

from runtime.addresses import Addresses


def client_address(request: HttpRequest) -> str:
    """The visitor's address: the peer's, or what a trusted proxy says (`TRUSTED_PROXIES`)."""
    forwarded: str | None = request.META.get("HTTP_X_FORWARDED_FOR")
    peer: str = request.META.get("REMOTE_ADDR", "")
    return _addresses().client(peer, forwarded.encode("latin-1") if forwarded else None)


@cache
def _addresses() -> Addresses:
    return Addresses(settings.TRUSTED_PROXIES)
