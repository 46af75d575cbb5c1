"""Loopback ports: which are free, and which to give the embedded stores."""

import random
import socket
import sys

LOOPBACK = "127.0.0.1"
# Below the range Linux takes outgoing ports from (32768 and up): while a store restarts, its
# clients keep connecting, and one of them could otherwise be given the very port it connects to,
# reach itself, and keep the store from ever binding again.
_FIRST, _LAST = 15_000, 31_999
_TRIES = 200
# Of the system's: a seeded generator, as tests have, gives processes beside each other the same
# ports, and whoever does not listen at once finds another's server on its own.
_chance = random.SystemRandom()
# The ports that were given to this process, and the descriptors of what holds them until it ends.
_ours: dict[int, int] = {}


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on `host:port` now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections linger in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def is_own_address(host: str) -> bool:
    """Whether servers of this machine can listen on the address, or on what the name stands for."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None) -> int:
    """A port that is free now, `preferred` when it is; another one each time, and for no other
    process that asks here while this one lives, since nobody may listen on it for a while.
    """
    if preferred is not None and is_free(preferred) and _is_ours(preferred):
        return preferred
    for _ in range(_TRIES):
        port = _chance.randint(_FIRST, _LAST)
        if port not in _ours and is_free(port) and _is_ours(port):
            return port
    raise OSError(f"no free port between {_FIRST} and {_LAST}")


def _is_ours(port: int) -> bool:
    """Whether the port was given to this process, or is from now on."""
    if port in _ours or sys.platform != "linux":
        return True
    # A name that one process can have, and that goes with it.
    holder = socket.socket(socket.AF_UNIX)
    try:
        holder.bind(f"\0adhouse-port-{port}")
    except OSError:
        holder.close()
        return False
    _ours[port] = holder.detach()
    return True
