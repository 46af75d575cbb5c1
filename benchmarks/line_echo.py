"""The line echo: `python -m benchmarks.line_echo PORT PROCESSES LINE` answers each line with LINE.

A uvloop protocol and nothing else, several processes on one port as the packets have them.
"""

import asyncio
import os
import signal
import socket
import sys
from typing import cast

import uvloop


class LineEcho(asyncio.Protocol):
    """Answers each line with a constant one."""

    answer = b""

    def __init__(self) -> None:
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """One answer for each line, all by one write."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if lines:
            self._transport.write(self.answer * len(lines))


async def _serve(port: int) -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    loop = asyncio.get_running_loop()
    await loop.create_server(LineEcho, sock=listener, backlog=1024)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


def main(port: int, processes: int, line: str) -> None:
    """Serve until SIGTERM."""
    LineEcho.answer = line.encode() + b"\n"
    children: list[int] = []
    for _ in range(processes - 1):
        pid = os.fork()
        if pid == 0:
            children.clear()
            break
        children.append(pid)
    uvloop.run(_serve(port))
    for pid in children:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
