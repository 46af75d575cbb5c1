"""Asks this container's own web pool whether it can serve: `python -m config.probe api|edge`.

The health check of the containers, which have no curl. Does not start Django, so that asking
every few seconds costs next to nothing. Exits 0 when `/readyz` answers 200, else 1 with the answer.
"""

import http.client
import sys

from config import env

PORTS = {"api": "PORT", "edge": "EDGE_PORT"}
TIMEOUT_S = 4.0


def ask(pool: str) -> tuple[bool, str]:
    """Whether `pool` (a key of `PORTS`) is ready on this host, and what it said."""
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
