"""What the api pool has running for operators: the hot routes that write single ads."""

from functools import partial

from django.conf import settings
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied

from accounts.operators import user_by_token
from adserver.api.permissions import may
from adserver.records import Actor
from adserver.write_door import AD_ID, BODY_BYTES_MOST, AdWriteDoor, is_token
from adserver.write_lane import AdLane
from config import env
from config.refusals import host_is_allowed, refusal
from runtime.addresses import Addresses
from runtime.http.routes import RouteTable
from runtime.http.usual import UsualJson

# Every write takes the catalog's lock: more threads would stand in line there.
_THREADS_MOST = 4
_WAITING = 256


class AdWrites:
    """One worker's threads and doors for writes of ads; made on its event loop."""

    def __init__(self) -> None:
        self._lane = AdLane(
            threads=max(1, min(_THREADS_MOST, env.value("DATABASE_POOL_SIZE") // 4)),
            waiting=_WAITING,
            permit=permit,
            refusal=refusal,
        )

    def add_routes(self, routes: RouteTable) -> None:
        """Take plain requests with a token before any framework."""
        usual = UsualJson(
            body_bytes_most=BODY_BYTES_MOST,
            host_is_allowed=host_is_allowed,
            https_only=settings.SECURE_SSL_REDIRECT,
            authorization=is_token,
        )
        door = partial(
            AdWriteDoor,
            hand_over=self._lane.hand_over,
            addresses=Addresses(settings.TRUSTED_PROXIES),
        )
        routes.write(b"POST", b"/api/v1/ad", door("POST"), usual=usual)
        for method in ("PUT", "PATCH", "DELETE"):
            routes.items(
                method.encode(),
                b"/api/v1/ads/<uuid:ad_id>/",
                door(method, of_one=True),
                takes_body=method != "DELETE",
                usual=usual,
                of=AD_ID,
            )

    def stop(self) -> None:
        """Let the threads go once they are done."""
        self._lane.stop()


def permit(token: str, method: str) -> Actor:
    """Who may use this method on ads with this API token. AuthenticationFailed, PermissionDenied,
    as the framework raises them.
    """
    user = user_by_token(token)
    if user is None:
        raise AuthenticationFailed("Invalid token.")
    if not user.is_active:
        raise AuthenticationFailed("User inactive or deleted.")
    if not may(user, method):
        raise PermissionDenied
    return Actor(label=user.get_username(), user_id=user.pk)
