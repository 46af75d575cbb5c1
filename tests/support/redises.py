"""A real Redis Cluster, and a master with a replica under Sentinels, on free loopback ports.

A master that is gone is replaced within seconds; one that a busy machine keeps waiting is not.
"""

import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from devstack.ports import LOOPBACK, free_port, is_free
from devstack.programs import Child, Program
from devstack.redis import binary
from tests.support.stack import wait_until

SERVICE = "main"
PASSWORD = "redises"
_START_TIMEOUT_S = 20.0
_SLOTS = 16_384
# A cluster's nodes talk to each other on their port and this, which must be a port too.
_BUS_OFFSET = 10_000
_HIGHEST_PORT = 22_000


class Redises:
    """Redis servers of a test's own, each known by its port."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="adhouse-redises-"))
        self._children: dict[int, Child] = {}

    def add(self, lines: Callable[[int], list[str]], *, sentinel: bool = False) -> int:
        """Start one server with these lines of configuration, made from its port."""
        port = free_port()
        while port > _HIGHEST_PORT or not is_free(port + _BUS_OFFSET) or port in self._children:
            port = free_port()
        home = self._directory / str(port)
        home.mkdir()
        settings = [f"bind {LOOPBACK}", f"port {port}", f"dir {home}", "daemonize no"]
        (home / "redis.conf").write_text("\n".join([*settings, *lines(port), ""]))
        command = [str(binary()), str(home / "redis.conf"), *(["--sentinel"] if sentinel else [])]
        program = Program(
            name=f"redis-{port}",
            command=command,
            environment={"PATH": "/usr/bin:/bin"},
            refusal=lambda: _refusal(self.client(port, sentinel=sentinel)),
        )
        child = self._children[port] = Child(program, log_directory=self._directory / "logs")
        child.start()
        child.wait_ready(_START_TIMEOUT_S)
        return port

    def client(self, port: int, *, sentinel: bool = False) -> redis.Redis:
        """A client of one server."""
        password = None if sentinel else PASSWORD
        return redis.Redis(
            host=LOOPBACK, port=port, password=password, socket_timeout=2, decode_responses=True
        )

    def kill(self, port: int) -> None:
        """`kill -9` one server."""
        self._children[port].kill()

    def send(self, port: int, number: signal.Signals) -> None:
        """Send one server a signal."""
        self._children[port].send(number)

    def start_again(self, port: int) -> None:
        """Start a killed server again, with its data."""
        self._children[port].start()
        self._children[port].wait_ready(_START_TIMEOUT_S)

    def wait_replicated(self, master: int) -> None:
        """Wait until a replica has all that the master has now."""
        with self.client(master) as client:
            offset = client.info("replication")["master_repl_offset"]

            def caught_up() -> bool:
                replica = client.info("replication").get("slave0", {})
                return bool(int(replica.get("offset", 0)) >= offset)

            wait_until(caught_up, timeout_s=60, what="a replica has what the master has")

    def stop(self) -> None:
        """End all servers and delete what they held."""
        for child in self._children.values():
            child.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _refusal(client: redis.Redis) -> str | None:
    with client:
        try:
            client.ping()
        except redis.RedisError as error:
            return str(error)
    return None


def _durable(_port: int) -> list[str]:
    return [
        *("appendonly yes", "appendfsync always", 'save ""', "repl-diskless-sync yes"),
        *(f"requirepass {PASSWORD}", f"masterauth {PASSWORD}", "repl-diskless-sync-delay 0"),
    ]


class SentinelRedis(Redises):
    """A master, its replica and three Sentinels."""

    def __init__(self) -> None:
        super().__init__()
        try:
            self.master = self.add(_durable)
            self.replica = self.add(
                lambda port: [*_durable(port), f"replicaof {LOOPBACK} {self.master}"]
            )
            self.sentinels = [self.add(self._watch, sentinel=True) for _ in range(3)]
            self._wait_acquainted()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """The URL that names the Sentinels."""
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}/0"

    def _watch(self, _port: int) -> list[str]:
        return [
            f"sentinel monitor {SERVICE} {LOOPBACK} {self.master} 2",
            f"sentinel auth-pass {SERVICE} {PASSWORD}",
            f"sentinel down-after-milliseconds {SERVICE} 1500",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]

    def _wait_acquainted(self) -> None:
        def acquainted() -> bool:
            return all(self._knows_all(port) for port in self.sentinels)

        wait_until(acquainted, timeout_s=60, what="the Sentinels know the replica and each other")

    def _knows_all(self, port: int) -> bool:
        with self.client(port, sentinel=True) as client:
            state: dict[str, Any] = client.sentinel_master(SERVICE)
        return (state["num-other-sentinels"], state["num-slaves"]) == (2, 1)


class ClusterRedis(Redises):
    """Three masters, and a replica of the one that has the slot of `key`."""

    def __init__(self, key: str) -> None:
        super().__init__()
        try:
            self.masters = [self.add(_cluster) for _ in range(3)]
            self._share_slots()
            with self.client(self.masters[0]) as client:
                slot = client.cluster("KEYSLOT", key)
            self.master = self.masters[slot * 3 // _SLOTS]
            self.replica = self.add(_cluster)
            self._attach_replica()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """The URL that names the masters."""
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in self.masters)
        return f"redis+cluster://:{PASSWORD}@{hosts}"

    def _share_slots(self) -> None:
        for number, port in enumerate(self.masters):
            first, last = -(-_SLOTS * number // 3), -(-_SLOTS * (number + 1) // 3)
            with self.client(port) as client:
                client.cluster("ADDSLOTS", *range(first, last))
                client.cluster("SET-CONFIG-EPOCH", number + 1)
        for port in self.masters[1:]:
            self._meet(port)
        self._wait_whole(self.masters, known=3)

    def _attach_replica(self) -> None:
        self._meet(self.replica)
        self._wait_whole([*self.masters, self.replica], known=4)
        with self.client(self.master) as client:
            name = client.cluster("MYID")
        with self.client(self.replica) as client:
            client.cluster("REPLICATE", name)
        self.wait_replica()

    def wait_replica(self) -> None:
        """Wait until the other masters know the replica, and it has the master's data."""

        def known() -> bool:
            seen = []
            for port in self.masters:
                with self.client(port) as client:
                    seen.append("slave" in str(client.execute_command("CLUSTER NODES")))
            with self.client(self.replica) as client:
                return all(seen) and client.info("replication")["master_link_status"] == "up"

        wait_until(known, timeout_s=60, what="the replica is known and has the master's data")

    def _meet(self, port: int) -> None:
        with self.client(self.masters[0]) as client:
            client.cluster("MEET", LOOPBACK, port)

    def _wait_whole(self, ports: list[int], *, known: int) -> None:
        def whole() -> bool:
            for port in ports:
                with self.client(port) as client:
                    info = client.cluster("INFO")
                if info["cluster_state"] != "ok" or int(info["cluster_known_nodes"]) != known:
                    return False
            return True

        wait_until(whole, timeout_s=60, what="the cluster is whole")


def _cluster(port: int) -> list[str]:
    return [
        *_durable(port),
        *("cluster-enabled yes", "cluster-node-timeout 1500", "cluster-replica-validity-factor 0"),
    ]
