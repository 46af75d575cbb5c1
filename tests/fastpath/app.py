"""A small application for the tests: hot routes, and an ASGI application that mounts the same."""

import asyncio
import json

from runtime.http.answer import Answer
from runtime.http.routes import HotRequest, ReadRoute, Reply, RouteTable, WriteRoute
from runtime.metrics import render_metrics

HEADERS = ((b"x-catalog-version", b"7"),)


def echo(query: bytes) -> Answer:
    """The query as it came, in JSON."""
    status = 400 if query.startswith(b"bad") else 200
    return Answer(status, json.dumps({"query": query.decode("latin-1")}).encode(), HEADERS)


def large(query: bytes) -> Answer:
    """100 kB, whatever the query."""
    return Answer(200, b'"%b"' % (b"x" * 100_000))


def broken(query: bytes) -> Answer:
    raise ZeroDivisionError(query)


def save(request: HotRequest, reply: Reply) -> None:
    """A durable write: answered at once, or after as many turns of the loop as `later` is said."""
    answer = Answer(200, json.dumps({"saved": request.body.decode("latin-1")}).encode())
    _later(request.query.count(b"later"), reply, answer)


def is_usual(query: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
    """Without a query and a cookie."""
    return not query and not any(name == b"cookie" for name, _ in headers)


def whoami(request: HotRequest, reply: Reply) -> None:
    """A later read: two headers and the body's length, at once or some turns later."""
    cookie = (request.header(b"cookie") or b"").decode("latin-1")
    said = [value.decode("latin-1") for name, value in request.headers if name == b"authorization"]
    seen = {"cookie": cookie, "authorization": said, "body": len(request.body)}
    answer = Answer(200, json.dumps(seen).encode())
    _later(request.query.count(b"later"), reply, answer)


def bearer(request: HotRequest, reply: Reply) -> None:
    """A later read that looks at the bearer token only, at once or some turns later."""
    header = request.header(b"authorization") or b""
    token = header[7:].strip() if header.startswith(b"Bearer ") else b"nobody"
    _later(request.query.count(b"later"), reply, _bearer_is(token))


def bearer_at_once(token: bytes) -> Answer | None:
    """The same, of the tokens that are known."""
    return None if b"w" in token else _bearer_is(token)


def _bearer_is(token: bytes) -> Answer:
    return Answer(200, json.dumps({"bearer": token.decode("latin-1")}).encode())


def thing(request: HotRequest, reply: Reply) -> None:
    """A later read of the item that the path ends in, or a durable write of it."""
    told = {"thing": request.item.decode("latin-1"), "body": request.body.decode("latin-1")}
    answer = Answer(200, json.dumps(told).encode())
    if request.item == b"gone":
        answer = Answer(204, b"", HEADERS)
    _later(request.query.count(b"later"), reply, answer)


def _later(turns: int, reply: Reply, answer: Answer) -> None:
    if turns == 0:
        reply(answer)
    else:
        asyncio.get_running_loop().call_soon(_later, turns - 1, reply, answer)


def table() -> RouteTable:
    routes = RouteTable()
    routes.read(b"GET", b"/hot", echo)
    routes.read(b"GET", b"/large", large)
    routes.read(b"GET", b"/broken", broken)
    routes.write(b"POST", b"/save", save)
    routes.write(b"POST", b"/choosy", save, usual=is_usual)
    routes.later(b"GET", b"/me", whoami)
    routes.later(b"GET", b"/bearer", bearer, at_once=bearer_at_once)
    routes.items(b"GET", b"/things/<name>", thing)
    routes.items(b"PUT", b"/things/<name>/", thing, takes_body=True)
    routes.items(b"DELETE", b"/things/<name>/", thing, usual=is_usual)
    return routes


async def run_lifespan(routes: RouteTable | None, scope, receive, send) -> None:
    """Hand the hot routes over, and wait for the end."""
    await receive()
    if routes is not None:
        scope["state"]["hot_routes"] = routes
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


class App:
    """ASGI: the hot handlers as any framework would mount them, and a few routes of its own."""

    def __init__(self, routes: RouteTable | None = None) -> None:
        self.routes = routes
        self.handlers = table()

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await run_lifespan(self.routes, scope, receive, send)
            return
        body = b"" if scope["path"] == "/early" else await read_body(receive)
        status, content, extra = await self._answer(scope, body)
        headers = list(extra)
        if status != 204:
            length = b"%d" % len(content)
            headers += [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, scope, body: bytes) -> Answer:
        route = self.handlers.find(scope["method"].encode(), scope["raw_path"])
        if isinstance(route, ReadRoute):
            return route.handler(scope["query_string"])
        unusual = route and route.usual and not is_usual(scope["query_string"], scope["headers"])
        if isinstance(route, WriteRoute) and not unusual:
            future = asyncio.get_running_loop().create_future()
            item = scope["raw_path"].removesuffix(b"/").rpartition(b"/")[2]
            request = HotRequest(scope["query_string"], body, scope["headers"], "", item)
            route.handler(request, future.set_result)
            answer: Answer = await future
            return answer
        if scope["path"] == "/metrics":
            return Answer(200, render_metrics())
        if scope["path"] == "/slow":
            for _ in range(5):
                await asyncio.sleep(0)
        return Answer(
            404 if scope["path"] == "/no" else 200,
            json.dumps(
                {
                    "method": scope["method"],
                    "path": scope["path"],
                    "query": scope["query_string"].decode("latin-1"),
                    "version": scope["http_version"],
                    "body": body.decode("latin-1"),
                }
            ).encode(),
        )


async def read_body(receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return body
        body += message["body"]
        if not message["more_body"]:
            return body
