"""The client: connections are shared, bounded, checked, and thrown away after any doubt."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from accounts.packets.client import (
    AnswerTimeoutError,
    ClientError,
    DisconnectedError,
    PacketClient,
)
from accounts.packets.codec import encode_success
from devstack.ports import free_port
from runtime.errors import BusyError
from tests.packets.support import Server
from tests.support.stack import wait_until


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def client_of(server: Server, **options: float) -> PacketClient:
    return PacketClient("127.0.0.1", server.port, **options)  # type: ignore[arg-type]


def connections(server: Server) -> int:
    return int(server.on_loop(lambda: len(server.door)))


def test_many_threads_share_few_connections_and_get_their_own_answers(server: Server) -> None:
    with client_of(server, size=3, wait_s=20) as client, ThreadPoolExecutor(16) as threads:
        wanted = [f"user{number}" for number in range(400)]

        def ask(name: str) -> object:
            return client.validate(token=f"known-{name}").user.username

        assert list(threads.map(ask, wanted)) == wanted
        assert connections(server) <= 3


def test_every_format_can_be_asked(server: Server) -> None:
    with client_of(server) as client:
        said = [
            client.register(username="ann", password="p", nickname="Ann"),
            client.login(username="ann", password="p"),
            client.validate(token="known-ann"),
            client.update_nickname(token="ann", nickname="Nan"),
            client.update_image(token="ann", url="/x.webp"),
            client.logout(token="ann"),
        ]
        assert [answer.user.username for answer in said] == ["ann"] * 6
        refused = client.validate(token="nobody")
        assert (refused.success, refused.err) == (False, "User.Token: is no session")
        assert connections(server) == 1


def test_nobody_gets_the_answer_of_one_who_gave_up(server: Server) -> None:
    with client_of(server, size=1, timeout_s=0.2) as client:
        with pytest.raises(AnswerTimeoutError):
            client.login(username="slow-ann", password="p")
        server.open("slow-ann")
        for name in ("bob", "eve", "joe"):
            assert client.validate(token=f"known-{name}").user.username == name


def test_who_finds_all_connections_taken_is_told_after_a_while(server: Server) -> None:
    with client_of(server, size=1, wait_s=0.1, timeout_s=60) as client:
        slow = threading.Thread(target=client.login, kwargs={"username": "slow-1", "password": "p"})
        slow.start()
        wait_until(lambda: "slow-1" in server.entered, timeout_s=60, what="it is taken")
        with pytest.raises(BusyError):
            client.validate(token="known-ann")
        server.open("slow-1")
        slow.join()
        assert client.validate(token="known-ann").success


def test_a_connection_that_the_server_closed_is_not_used(server: Server) -> None:
    with client_of(server) as client:
        assert client.validate(token="known-ann").success
        server.sweep(server.door.limits.idle_s + 2)
        wait_until(lambda: connections(server) == 0, timeout_s=60, what="it is closed")
        assert client.validate(token="known-ann").success


def test_an_old_connection_is_replaced(server: Server) -> None:
    with client_of(server, age_s=0.0) as client:
        for _ in range(3):
            assert client.validate(token="known-ann").success
        wait_until(lambda: connections(server) == 1, timeout_s=60, what="old ones are closed")


def test_a_closed_client_asks_nobody(server: Server) -> None:
    client = client_of(server)
    assert client.validate(token="known-ann").success
    client.close()
    with pytest.raises(ClientError, match="closed"):
        client.validate(token="known-ann")
    wait_until(lambda: connections(server) == 0, timeout_s=60, what="its connections are closed")


def test_a_server_that_is_not_there_is_said() -> None:
    with PacketClient("127.0.0.1", free_port()) as client, pytest.raises(DisconnectedError):
        client.validate(token="t")


def test_stages_are_observed(server: Server) -> None:
    seen: list[str] = []
    with PacketClient("127.0.0.1", server.port, observe=lambda s, _: seen.append(s)) as client:
        client.validate(token="known-ann")
    assert seen == ["get connection", "round trip"]


YES = encode_success(username="ann", nickname="", url="")


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        (YES[:20], DisconnectedError, "closed the connection"),
        (YES + YES, ClientError, "more than it was asked"),
        (b"no\n", ClientError, "is not one"),
        (b"", DisconnectedError, "closed the connection"),
    ],
)
def test_a_connection_with_a_strange_answer_is_not_used_again(
    said: bytes, error: type[Exception], message: str
) -> None:
    """A server that says something else first, and the right thing to who connects anew."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in (said, YES):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with PacketClient("127.0.0.1", listener.getsockname()[1]) as client:
            with pytest.raises(error, match=message):
                client.validate(token="t")
            assert client.validate(token="t").user.username == "ann"
        thread.join()
