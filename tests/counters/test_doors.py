"""Django's doors to hot handlers that answer later: on the loop, one answer, whatever happens."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import AsyncRequestFactory

from config import doors
from runtime.http.answer import UNKNOWN, Answer
from runtime.http.routes import HotRequest, Reply, RouteTable

DONE = Answer(200, b'{"done":true}', ((b"x-extra", b"1"),))


class Handlers:
    """Handlers of every kind, and what they were asked."""

    def __init__(self) -> None:
        self.requests: list[HotRequest] = []
        self.threads: set[int] = set()

    def at_once(self, request: HotRequest, reply: Reply) -> None:
        self.requests.append(request)
        self.threads.add(threading.get_ident())
        reply(DONE)

    def later(self, request: HotRequest, reply: Reply) -> None:
        asyncio.get_running_loop().call_soon(reply, DONE)

    def unknown(self, request: HotRequest, reply: Reply) -> None:
        reply(UNKNOWN)

    def fails(self, request: HotRequest, reply: Reply) -> None:
        raise ZeroDivisionError


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


@pytest.fixture
def loop_thread(handlers: Handlers) -> Iterator[int]:
    """A loop in a thread of its own, with open doors; gives the thread."""
    table = RouteTable()
    for name in ("at_once", "later", "unknown", "fails"):
        table.write(b"POST", f"/{name}".encode(), getattr(handlers, name))
    loop = asyncio.new_event_loop()
    opened = threading.Event()

    def serve() -> None:
        asyncio.set_event_loop(loop)
        loop.call_soon(doors.open_doors, table)
        loop.call_soon(opened.set)
        loop.run_forever()
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert opened.wait(60)
    assert thread.ident is not None
    yield thread.ident
    doors.close_doors()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


@pytest.fixture
def ask(loop_thread: int) -> Callable[..., Any]:
    def post(name: str, body: bytes = b"", **headers: str) -> Any:
        request = AsyncRequestFactory().post(
            f"/{name}?a=%41&b", body, content_type="text/x", headers=headers
        )
        return doors.answered_later(b"POST", f"/{name}".encode())(request)

    return post


def test_the_handler_runs_on_the_loop_and_sees_the_request(ask, handlers, loop_thread):
    response = ask("at_once", b"\xff{}", **{"Idempotency-Key": "é", "X-API-Key": "k"})
    assert (response.status_code, response.content) == (200, DONE.body)
    assert response.headers["x-extra"] == "1"
    assert response.headers["content-type"] == "application/json"
    assert handlers.threads == {loop_thread}
    [request] = handlers.requests
    assert (request.query, request.body, request.client) == (b"a=%41&b", b"\xff{}", "127.0.0.1")
    assert request.header(b"idempotency-key") == "é".encode("latin-1")
    assert request.header(b"x-api-key") == b"k"
    assert request.header(b"content-type") == b"text/x"
    assert request.header(b"content-length") == b"3"


def test_an_answer_that_comes_later(ask):
    assert ask("later").content == DONE.body


def test_what_nobody_knows_is_neither_a_success_nor_a_refusal(ask):
    response = ask("unknown")
    assert response.status_code == 504
    assert b"not known" in response.content


def test_a_mistake_is_the_views(ask):
    with pytest.raises(ZeroDivisionError):
        ask("fails")


def test_without_a_serving_loop_nothing_is_accepted(client):
    response = client.post("/increment", b"{}", content_type="application/json")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json() == {"msg": "server: is not serving yet"}
