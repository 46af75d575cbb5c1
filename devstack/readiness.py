"""How the stack tells that a process serves; each gives the reason why not, or None."""

import http.client
import socket
from collections.abc import Callable

_HTTP_TIMEOUT_S = 1.0
_TCP_TIMEOUT_S = 1.0
_PING_TIMEOUT_S = 0.3
_REASON_CHARACTERS = 200


def http_refusal(host: str, port: int) -> Callable[[], str | None]:
    """A check that `/readyz` of the pool on `host:port` answers 200."""

    def refusal() -> str | None:
        connection = http.client.HTTPConnection(host, port, timeout=_HTTP_TIMEOUT_S)
        try:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            body = response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return str(error) or type(error).__name__
        finally:
            connection.close()
        if response.status == http.client.OK:
            return None
        return f"/readyz answers {response.status}: {body[:_REASON_CHARACTERS]}"

    return refusal


def packets_refusal(host: str, port: int) -> Callable[[], str | None]:
    """A check that the packets server on `host:port` answers; it is asked nothing that needs a
    store.
    """

    def refusal() -> str | None:
        try:
            with socket.create_connection((host.strip("[]"), port), _TCP_TIMEOUT_S) as connection:
                connection.sendall(b"{}\n")
                answer = connection.recv(_REASON_CHARACTERS)
        except OSError as error:
            return str(error)
        return None if answer.startswith(b'{"Success":false') else "it does not answer yet"

    return refusal


def celery_refusal(broker_url: str, node: str) -> Callable[[], str | None]:
    """A check that the Celery worker named `node` takes orders."""

    def refusal() -> str | None:
        from celery import Celery
        from kombu.exceptions import OperationalError

        with Celery(broker=broker_url, set_as_current=False) as app:
            try:
                answers = app.control.ping(destination=[node], timeout=_PING_TIMEOUT_S)
            except OperationalError as error:
                return str(error)
        return None if answers else "it does not answer yet"

    return refusal
