"""The hot routes: which method and path go to which handler, whatever the door.

A hot handler takes bytes and gives an `Answer`; it knows nothing of servers and frameworks. There
are three kinds. A *read* is answered at once. A *durable write* is handed over and answers later,
when what it was given is safe. A *later read* is the same without a body: it needs the request's
headers, or may have to wait.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from runtime.http.answer import Answer
from runtime.http.stats import RouteStats


class HotRequest(NamedTuple):
    """What a durable write or a later read gets to see.

    `headers` are as they came, names in lower case; `client` is the peer's address, empty when
    unknown; `item` is the path's last segment where the route has one for each of them.
    """

    query: bytes
    body: bytes
    headers: list[tuple[bytes, bytes]]
    client: str
    item: bytes = b""

    def header(self, name: bytes) -> bytes | None:
        """The value of the header (name in lower case), or None. The first one, if repeated."""
        for each, value in self.headers:
            if each == name:
                return value
        return None


Reply = Callable[[Answer], None]
# The raw query string, without its question mark, to the answer.
HotRead = Callable[[bytes], Answer]
# Calls `reply` exactly once: before it returns, or later from the same event loop.
HotWrite = Callable[[HotRequest, Reply], None]
# A bearer token to the answer, if that is known at once; None leaves the request to the handler.
HotBearer = Callable[[bytes], Answer | None]
# Whether a request with this query and these headers is one for the handler; if not, it is left to
# the framework.
Usual = Callable[[bytes, list[tuple[bytes, bytes]]], bool]


class ReadRoute:
    """A route answered at once."""

    takes_body = False
    usual: Usual | None = None
    __slots__ = ("handler", "method", "path", "stats")

    def __init__(self, method: bytes, path: bytes, handler: HotRead) -> None:
        self.method = method
        self.path = path
        self.handler = handler
        self.stats = RouteStats()


class WriteRoute:
    """A route answered when its handler replies: a durable write, or a later read. `at_once` may
    answer what differs in nothing but its bearer token from a request that was parsed before.
    """

    __slots__ = ("at_once", "handler", "method", "path", "stats", "takes_body", "usual")

    def __init__(
        self,
        method: bytes,
        path: bytes,
        handler: HotWrite,
        *,
        takes_body: bool,
        usual: Usual | None = None,
        at_once: HotBearer | None = None,
    ) -> None:
        self.takes_body = takes_body
        self.usual = usual
        self.at_once = at_once
        self.method = method
        self.path = path
        self.handler = handler
        self.stats = RouteStats()


Route = ReadRoute | WriteRoute
Key = TypeVar("Key", bound=tuple[bytes, ...])
# What no parser reads as anything but itself: escapes and fragments are written with other bytes.
_ITEM = re.compile(rb"[0-9A-Za-z._~-]+")
_ITEMS = re.compile(rb"(.*/)<[^<>]*>(/?)")


def _split(path: bytes) -> tuple[bytes, bytes, bytes]:
    """What stands before a path's last segment, that segment, and the slash behind it, if any."""
    slash = path[-1:] if path.endswith(b"/") else b""
    end = len(path) - len(slash)
    place = path.rfind(b"/", 0, end) + 1
    return path[:place], path[place:end], slash


def item_of(path: bytes) -> bytes:
    """The last segment of a raw path, whether or not a slash stands behind it."""
    return _split(path)[1]


class RouteTable:
    """Hot routes by method and raw path: the exact one, or all but its last segment."""

    def __init__(self) -> None:
        self._routes: dict[tuple[bytes, bytes], Route] = {}
        self._items: dict[tuple[bytes, bytes, bytes], Route] = {}
        self._forms: dict[Route, re.Pattern[bytes]] = {}

    def read(self, method: bytes, path: bytes, handler: HotRead) -> None:
        """Add a read; ValueError if the route is taken or not written as it arrives."""
        self._add(ReadRoute(method, path, handler))

    def write(
        self, method: bytes, path: bytes, handler: HotWrite, *, usual: Usual | None = None
    ) -> None:
        """Add a durable write, of `usual` requests only if that is given; ValueError if the route
        is taken or not written as it arrives.
        """
        self._add(WriteRoute(method, path, handler, takes_body=True, usual=usual))

    def later(
        self, method: bytes, path: bytes, handler: HotWrite, *, at_once: HotBearer | None = None
    ) -> None:
        """Add a later read; ValueError if the route is taken or not written as it arrives.

        `at_once` sees the bearer token of a usual request and nothing else, and gives what
        `handler` would reply, or None.
        """
        self._add(WriteRoute(method, path, handler, takes_body=False, at_once=at_once))

    def items(
        self,
        method: bytes,
        path: bytes,
        handler: HotWrite,
        *,
        takes_body: bool = False,
        usual: Usual | None = None,
        of: re.Pattern[bytes] = _ITEM,
    ) -> None:
        """Add a later read, or with `takes_body` a durable write, of each item that is as `of`
        says; of `usual` requests only if that is given. In `path` the last segment is `<a name>`,
        and metrics call all items by it. ValueError as above, and for a path without such a
        segment.
        """
        pattern = _ITEMS.fullmatch(path)
        if pattern is None:
            raise ValueError(f"{path!r} does not say which segment is the item")
        route = WriteRoute(method, path, handler, takes_body=takes_body, usual=usual)
        before, slash = pattern.groups()
        self._put(self._items, (method, before, slash), route)
        self._forms[route] = of

    def _add(self, route: Route) -> None:
        self._put(self._routes, (route.method, route.path), route)

    def _put(self, routes: dict[Key, Route], key: Key, route: Route) -> None:
        if key in routes:
            raise ValueError(f"{key!r} is added twice")
        if not key[1].startswith(b"/") or any(byte in key[1] for byte in b"?#% "):
            raise ValueError(f"{route.path!r} cannot be matched as it arrives")
        routes[key] = route

    def find(self, method: bytes, path: bytes) -> Route | None:
        """The route of this method and raw path."""
        route = self._routes.get((method, path))
        if route is None and self._items:
            before, item, slash = _split(path)
            found = self._items.get((method, before, slash))
            # What is written otherwise than it is meant is the framework's to read.
            if found is not None and self._forms[found].fullmatch(item):
                return found
        return route

    def exact(self) -> Iterator[Route]:
        """Those whose path is the whole of it."""
        return iter(list(self._routes.values()))

    def __iter__(self) -> Iterator[Route]:
        return iter([*self._routes.values(), *self._items.values()])
