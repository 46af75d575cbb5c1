"""What the api pool has running for people: the keeper of sessions, and the hot routes."""

import asyncio

from django.conf import settings

from accounts.fastpath import MeDoor
from accounts.keeper import new_keeper
from accounts.login_door import BODY_BYTES_MOST, LoginDoor
from accounts.login_lane import LoginLane
from accounts.lookups import Lookups
from accounts.passwords import hash_pool
from accounts.sessions import process_sessions
from config import env
from config.refusals import host_is_allowed, refusal
from runtime.addresses import Addresses
from runtime.http.routes import RouteTable
from runtime.http.usual import UsualJson


class People:
    """What one worker of the api pool has running for accounts; made on its event loop."""

    def __init__(self) -> None:
        sessions = process_sessions()
        self._keeper = new_keeper()
        self._lookups = Lookups(sessions, asyncio.get_running_loop())
        self._me = MeDoor(sessions.memory, self._lookups.look_up)
        self._logins = LoginLane(
            # One more than hash, so that statements are made meanwhile; a connection for each.
            threads=max(hash_pool().threads + 1, env.value("DATABASE_POOL_SIZE") // 2),
            waiting=settings.ACCOUNT_HASHING_WAITING,
            refusal=refusal,
        )
        self._login = LoginDoor(self._logins.hand_over, Addresses(settings.TRUSTED_PROXIES))

    def start(self) -> None:
        """Begin to hear of changes."""
        self._keeper.start()

    def add_routes(self, routes: RouteTable) -> None:
        """Answer session checks and logins before any framework."""
        routes.later(b"GET", b"/api/v1/users/me", self._me, at_once=self._me.at_once)
        usual = UsualJson(
            body_bytes_most=BODY_BYTES_MOST,
            host_is_allowed=host_is_allowed,
            https_only=settings.SECURE_SSL_REDIRECT,
        )
        routes.write(b"POST", b"/api/v1/users/login", self._login, usual=usual)

    def stop(self) -> None:
        """Write down what is left, and end. Waits: not for an event loop."""
        self._logins.stop()
        self._lookups.stop()
        self._keeper.stop()
