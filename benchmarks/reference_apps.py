"""The constant applications behind the references; `BODY_BYTES` says how long their body is."""

import os
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker

BODY = b"x" * int(os.environ.get("BODY_BYTES", "0"))
_LENGTH = str(len(BODY))
_ASGI_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", _LENGTH.encode())],
}
_ASGI_BODY = {"type": "http.response.body", "body": BODY}
_WSGI_HEADERS = [("Content-Type", "application/json"), ("Content-Length", _LENGTH)]


class PlainUvicornWorker(UvicornWorker):  # type: ignore[misc]
    """uvicorn as it comes, with its fast parts and without what a plain server need not do."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "http": "httptools",
        "ws": "none",
        "lifespan": "off",
        "access_log": False,
    }


async def asgi(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[..., Any]) -> None:
    """Reads the request, answers the constant."""
    while (await receive()).get("more_body"):
        pass
    await send(_ASGI_START)
    await send(_ASGI_BODY)


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers the constant."""
    start_response("200 OK", _WSGI_HEADERS)
    return [BODY]
