"""What the api pool has running for people: the keeper of sessions, and the hot routes."""

from functools import lru_cache
from logging import getLogger

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from accounts.fastpath import MeDoor
from accounts.keeper import new_keeper
from accounts.login_door import LoginDoor, UsualLogins
from accounts.login_lane import LoginLane
from accounts.lookups import Lookups
from accounts.passwords import hash_pool
from accounts.sessions import process_sessions
from config import env
from config.api import fault_of
from runtime.addresses import Addresses
from runtime.http.answer import Answer
from runtime.http.errors import error_answer
from runtime.http.routes import RouteTable

log = getLogger(__name__)

_HOSTS_MOST = 1_000


class People:
    """What one worker of the api pool has running for accounts; made on its event loop."""

    def __init__(self) -> None:
        sessions = process_sessions()
        self._keeper = new_keeper()
        self._lookups = Lookups(sessions)
        self._me = MeDoor(sessions.memory, self._lookups.look_up)
        self._logins = LoginLane(
            # One more than hash, so that statements are made meanwhile; a connection for each.
            threads=max(hash_pool().threads + 1, env.value("DATABASE_POOL_SIZE") // 2),
            waiting=settings.ACCOUNT_HASHING_WAITING,
            refusal=_refusal,
        )
        self._login = LoginDoor(self._logins.hand_over, Addresses(settings.TRUSTED_PROXIES))

    def start(self) -> None:
        """Begin to hear of changes."""
        self._keeper.start()

    def add_routes(self, routes: RouteTable) -> None:
        """Answer session checks and logins before any framework."""
        routes.later(b"GET", b"/api/v1/users/me", self._me, at_once=self._me.at_once)
        usual = UsualLogins(
            host_is_allowed=_host_is_allowed, https_only=settings.SECURE_SSL_REDIRECT
        )
        routes.write(b"POST", b"/api/v1/users/login", self._login, usual=usual)

    def stop(self) -> None:
        """Write down what is left, and end. Waits: not for an event loop."""
        self._logins.stop()
        self._lookups.stop()
        self._keeper.stop()


@lru_cache(maxsize=_HOSTS_MOST)
def _host_is_allowed(host: bytes) -> bool:
    domain, _port = split_domain_port(host.decode("latin-1"))
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def _refusal(error: Exception) -> Answer:
    """What Django's view would answer."""
    fault = fault_of(error)
    if fault is None:
        log.error("unhandled error in a login", exc_info=error)
        return error_answer(500, "internal error")
    return error_answer(fault.status, fault.msg, retry_after_s=fault.retry_after_s)
