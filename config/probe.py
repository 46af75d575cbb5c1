"""Asks this container's own process whether it can serve: `python -m config.probe api|edge|…`.

The health check of the containers, which have no curl. Does not start Django, so that asking
every few seconds costs next to nothing. Exits 0 when `/readyz` answers 200, when a packet that
needs no store is answered, and when Celery's process answers over the broker; else 1 with what was
said.
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
# Celery's processes, which listen to nothing but the broker; named `worker@<host>`.
OVER_THE_BROKER = ("worker", "beat")
TIMEOUT_S = 4.0
_ANSWER_BYTES = 4096


def ask(pool: str) -> tuple[bool, str]:
    """Whether `pool` (one of `PORTS` or `OVER_THE_BROKER`) is ready on this host, and what it
    said.
    """
    if pool in OVER_THE_BROKER:
        return _ask_over_the_broker(f"{pool}@{socket.gethostname()}")
    return _ask_packets() if pool == "packets" else _ask_http(pool)


def _ask_over_the_broker(node: str) -> tuple[bool, str]:
    # Not at the top: the other pools' probes need not wait for it.
    from celery import Celery
    from kombu.exceptions import OperationalError

    url = env.value("CACHE_REDIS_URL") or env.value("REDIS_URL")
    # As in the settings, but without their patience.
    options = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S, "max_retries": 1}
    with Celery(broker=url, set_as_current=False) as app:
        app.conf.broker_transport_options = options
        try:
            answers = app.control.ping(destination=[node], timeout=TIMEOUT_S)
        except OperationalError as error:
            return False, f"the broker does not answer: {error}"
    return bool(answers), str(answers[0]) if answers else f"{node} does not answer"


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
    known = (*PORTS, *OVER_THE_BROKER)
    if len(arguments) != 1 or arguments[0] not in known:
        sys.stderr.write(f"usage: python -m config.probe {'|'.join(known)}\n")
        return 2
    ready, said = ask(arguments[0])
    sys.stdout.write(said + "\n")
    return 0 if ready else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
