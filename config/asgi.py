"""The api pool's application: Django, with the replica started and stopped by lifespan.

The hot routes go to the protocol class through lifespan's state, under the key it looks for.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import django
from django.core.handlers.asgi import ASGIHandler

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Application:
    """ASGI: lifespan is answered here, everything else goes to Django."""

    def __init__(self) -> None:
        self._django = ASGIHandler()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's lifespan or one request."""
        if scope["type"] == "lifespan":
            await _lifespan(scope, receive, send)
        else:
            await self._django(scope, receive, send)


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    from config import doors, wiring
    from config.ads import AdWrites
    from config.ingest import Ingest
    from config.people import People

    await receive()
    worker = await asyncio.to_thread(wiring.start, "api")
    ingest = Ingest()
    await ingest.start()
    people = People()
    people.start()
    ads = AdWrites()
    scope["state"]["hot_routes"] = routes = wiring.hot_routes()
    ingest.add_routes(routes)
    people.add_routes(routes)
    ads.add_routes(routes)
    doors.open_doors(routes)
    await send({"type": "lifespan.startup.complete"})
    # By the next message the server has answered, or given up, every request that it took.
    await receive()
    doors.close_doors()
    await ingest.stop()
    ads.stop()
    await asyncio.to_thread(people.stop)
    await asyncio.to_thread(worker.stop)
    await send({"type": "lifespan.shutdown.complete"})


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")
django.setup(set_prefix=False)
application = Application()
