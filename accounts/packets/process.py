"""One serving process: an event loop on a listening socket, until it is told to leave."""

import asyncio
import os
import signal
import socket
from logging import getLogger

import uvloop

from accounts.packets.connection import PacketConnection
from accounts.packets.door import Answers, Door
from accounts.packets.limits import Limits

log = getLogger(__name__)

_BACKLOG = 4096


async def serve(
    listener: socket.socket, answers: Answers, limits: Limits, *, lifeline: int, grace_s: float
) -> None:
    """Serve connections to `listener` until SIGTERM, or until the other end of the pipe `lifeline`
    closes since the parent is gone. Then answer what has come, for `grace_s` at most.
    """
    loop = asyncio.get_running_loop()
    leave, gone = asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, leave.set)
    loop.add_reader(lifeline, leave.set)
    door = Door(loop, answers, limits)
    server = await loop.create_server(
        lambda: PacketConnection(door), sock=listener, backlog=_BACKLOG
    )
    await leave.wait()
    loop.remove_reader(lifeline)
    server.close()
    door.drain(gone.set)
    try:
        async with asyncio.timeout(grace_s):
            await gone.wait()
    except TimeoutError:
        log.warning("%d connections are cut after %.0f s", len(door), grace_s)
    door.stop()
    # Connections that were cut are closed by the loop's next turns.
    await asyncio.sleep(0)


def run(
    listener: socket.socket, answers: Answers, limits: Limits, *, lifeline: int, grace_s: float
) -> None:
    """`serve`, on an event loop of its own."""
    # The parent's handlers came along with the fork; Ctrl-C in a terminal reaches all of us, and
    # the parent passes it on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_blocking(lifeline, False)
    uvloop.run(serve(listener, answers, limits, lifeline=lifeline, grace_s=grace_s))
