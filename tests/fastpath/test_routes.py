"""The table of hot routes: exact paths, and items below one."""

import re

import pytest

from runtime.http.routes import HotRequest, Reply, RouteTable, item_of


def handler(request: HotRequest, reply: Reply) -> None:
    """Never called here."""


@pytest.fixture
def routes() -> RouteTable:
    routes = RouteTable()
    routes.later(b"GET", b"/things/all", handler)
    routes.items(b"GET", b"/things/<str:key>", handler)
    routes.items(b"PUT", b"/things/<uuid:key>/", handler, takes_body=True)
    routes.items(b"PUT", b"/numbers/<int:key>/", handler, of=re.compile(rb"[0-9]+"))
    return routes


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        (b"GET", b"/things/all", b"/things/all"),
        (b"GET", b"/things/a-1", b"/things/<str:key>"),
        (b"PUT", b"/things/a-1/", b"/things/<uuid:key>/"),
        (b"PUT", b"/things/a-1", None),
        (b"PUT", b"/numbers/17/", b"/numbers/<int:key>/"),
        (b"PUT", b"/numbers/all/", None),
        (b"GET", b"/things/a-1/", None),
        (b"DELETE", b"/things/a-1", None),
        (b"GET", b"/things/", None),
        (b"GET", b"/things", None),
        (b"PUT", b"/things//", None),
        (b"GET", b"/things/a/b", None),
        (b"GET", b"/things/%61", None),
        (b"GET", b"/things/<str:key>", None),
        (b"GET", b"/", None),
        (b"GET", b"a", None),
        (b"GET", b"", None),
    ],
)
def test_which_route_a_path_has(routes: RouteTable, method, path, found) -> None:
    route = routes.find(method, path)
    assert (route and route.path) == found


@pytest.mark.parametrize("path", [b"/things/a-1", b"/things/a-1/", b"a-1"])
def test_the_item_of_a_path(path: bytes) -> None:
    assert item_of(path) == b"a-1"


@pytest.mark.parametrize(
    "path", [b"/things/", b"/things/<key>x", b"/<key>/all", b"things/<key>", b"/th%69ngs/<key>"]
)
def test_items_are_written_as_one_segment_at_the_end(routes: RouteTable, path: bytes) -> None:
    with pytest.raises(ValueError, match=r"item|matched"):
        routes.items(b"GET", path, handler)


def test_no_route_is_added_twice(routes: RouteTable) -> None:
    with pytest.raises(ValueError, match="twice"):
        routes.later(b"GET", b"/things/all", handler)
    with pytest.raises(ValueError, match="twice"):
        routes.items(b"GET", b"/things/<str:other>", handler)


def test_all_are_listed_and_only_whole_paths_are_exact(routes: RouteTable) -> None:
    assert [route.path for route in routes] == [
        b"/things/all",
        b"/things/<str:key>",
        b"/things/<uuid:key>/",
        b"/numbers/<int:key>/",
    ]
    assert [route.path for route in routes.exact()] == [b"/things/all"]
