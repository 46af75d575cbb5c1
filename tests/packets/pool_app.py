"""`python -m tests.packets.pool_app PORT`: processes that answer VALIDATE with pid and token.

The token `die` ends the process that is asked; anything but VALIDATE takes 0.3 s.
"""

import os
import signal
import sys
import time

from accounts.packets.codec import Packet, encode_success
from accounts.packets.door import Answers
from accounts.packets.known_lines import KnownLine
from accounts.packets.limits import Limits
from accounts.packets.pool import Pool, PortInUseError, listeners
from accounts.packets.process import run


def from_memory(packet: Packet, client: str) -> KnownLine | None:
    if packet.user.token == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if packet.format != "VALIDATE":
        return None
    answer = encode_success(username=str(os.getpid()), nickname=packet.user.token or "", url="")
    return KnownLine("VALIDATE", answer, lambda: True)


def from_stores(packet: Packet, client: str) -> bytes:
    time.sleep(0.3)
    return encode_success(username=str(os.getpid()), nickname="", url="")


def main(port: int) -> int:
    try:
        sockets = listeners("127.0.0.1", port, 2)
    except PortInUseError as error:
        sys.stdout.write(f"{error}\n")
        return 3
    answers = Answers(from_memory, from_stores)

    def work(listener, lifeline):
        run(listener, answers, Limits(), lifeline=lifeline, grace_s=5.0)

    Pool([(each, work) for each in sockets], grace_s=8.0).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
