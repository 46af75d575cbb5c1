"""What the api pool has running for people: the keeper of sessions, and the hot route."""

from accounts.fastpath import MeDoor
from accounts.keeper import new_keeper
from accounts.lookups import Lookups
from accounts.sessions import process_sessions
from runtime.http.routes import RouteTable


class People:
    """What one worker of the api pool has running for accounts."""

    def __init__(self) -> None:
        sessions = process_sessions()
        self._keeper = new_keeper()
        self._lookups = Lookups(sessions)
        self._me = MeDoor(sessions.memory, self._lookups.look_up)

    def start(self) -> None:
        """Begin to hear of changes."""
        self._keeper.start()

    def add_routes(self, routes: RouteTable) -> None:
        """Answer `GET /api/v1/users/me` before any framework."""
        routes.later(b"GET", b"/api/v1/users/me", self._me)

    def stop(self) -> None:
        """Write down what is left, and end. Waits: not for an event loop."""
        self._lookups.stop()
        self._keeper.stop()
