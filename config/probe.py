"""Asks this container's own pool whether it can serve: `python -m config.probe api|edge|…`.

The health check of the containers, which have no curl. Does not start Django, so that asking
every few seconds costs next to nothing. Exits 0 when `/readyz` answers 200, and when a packet that
needs no store is answered; else 1 with what was said.
"""

import http.client
import socket
import sys

from config import env

PORTS = {
    "api": "PORT",
    "edge": "EDGE_PORT",
    "packets": "PACKETS_PORT",
    "writer": "TIMESERIES_WATCH_PORT",
}
TIMEOUT_S = 4.0
_ANSWER_BYTES = 4096


def ask(pool: str) -> tuple[bool, str]:
    """Whether `pool` (a key of `PORTS`) is ready on this host, and what it said."""
    return _ask_packets() if pool == "packets" else _ask_http(pool)


def _ask_packets() -> tuple[bool, str]:
    address = ("127.0.0.1", env.value("PACKETS_PORT"))
    try:
        with socket.create_connection(address, timeout=TIMEOUT_S) as connection:
            connection.sendall(b"{}\n")
            said = connection.recv(_ANSWER_BYTES).decode(errors="replace").rstrip()
    except OSError as error:
        return False, f"packets does not answer: {error}"
    return said.startswith('{"Success":false'), said


def _ask_http(pool: str) -> tuple[bool, str]:
    connection = http.client.HTTPConnection("127.0.0.1", env.value(PORTS[pool]), timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status == http.HTTPStatus.OK, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return False, f"{pool} does not answer: {error}"
    finally:
        connection.close()


def main(arguments: list[str]) -> int:
    """The exit code for the command line's `arguments`."""
    if len(arguments) != 1 or arguments[0] not in PORTS:
        sys.stderr.write(f"usage: python -m config.probe {'|'.join(PORTS)}\n")
        return 2
    ready, said = ask(arguments[0])
    sys.stdout.write(said + "\n")
    return 0 if ready else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
