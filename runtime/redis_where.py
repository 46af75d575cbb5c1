"""Where a Redis key lives: one server, the master that Sentinels name, or a node of a Cluster.

| URL | means |
| --- | --- |
| `redis://`, `rediss://` (TLS), `unix://` | one server, as redis-py reads it |
| `redis+sentinel://[[user]:password@]host:port,host:port/service[/db]` | the service's master |
| `redis+cluster://[[user]:password@]host:port,host:port` | the master of the key's slot |

`rediss+sentinel://` and `rediss+cluster://` mean TLS. The password is the servers' own; Sentinels
that ask for one get `?sentinel_password=…` (and `sentinel_username`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import redis
from redis.backoff import ConstantBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url as _parse_url
from redis.exceptions import RedisClusterException
from redis.retry import Retry
from redis.sentinel import Sentinel

Kind = Literal["plain", "sentinel", "cluster"]
# redis-py's plain and cluster clients, which share their commands but no class.
RedisClient = redis.Redis | RedisCluster

_KINDS: dict[str, Kind] = {"": "plain", "sentinel": "sentinel", "cluster": "cluster"}
_SENTINEL_PORT = 26_379
_REDIS_PORT = 6_379
_ASK_TIMEOUT_S = 1.0
# Below the time that PostgreSQL leaves a drainer which reads from Redis inside its transaction.
_CLIENT_TIMEOUT_S = 2.0
# redis-py leaves these without types.
_parse: Any = _parse_url
_new_sentinel: Any = Sentinel
_new_node: Any = ClusterNode


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """One server to connect to: a path, or host and port."""

    host: str = ""
    port: int = 0
    path: str = ""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A URL, read. `nodes` are the servers to ask; `options` how to log in, in redis-py's words:
    `username`, `password`, `db`, and `ssl_…` where `tls`.
    """

    kind: Kind
    nodes: tuple[Address, ...]
    tls: bool = False
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    service: str = ""
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def locate(self, key: str) -> Address:
        """The server that takes writes for `key` now. Blocks; RedisError when nobody knows."""
        if self.kind == "sentinel":
            host, port = _sentinel(self).discover_master(self.service)
            return Address(host=str(host), port=int(port))
        if self.kind == "cluster":
            with _cluster(self, timeout_s=_ASK_TIMEOUT_S) as cluster:
                node = cluster.get_node_from_key(key)
            if node is None:
                raise redis.ConnectionError(f"no node of the cluster has the slot of {key}")
            return Address(host=node.host, port=int(node.port))
        return self.nodes[0]


class _Cluster(RedisCluster):
    """A cluster's client whose errors are all redis.RedisError: not all of redis-py's are."""

    def execute_command(self, *words: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*words, **options)  # type: ignore[no-untyped-call]
        except RedisClusterException as error:
            raise redis.ConnectionError(str(error)) from error


def is_plain(url: str) -> bool:
    """Whether the URL names one server, which also cache, pub/sub and Celery can use."""
    return "+" not in url.partition("://")[0]


def read_place(url: str) -> Place:
    """The place that a URL names. ValueError saying what is wrong with it, without passwords."""
    scheme, _, rest = url.partition("://")
    base, _, word = scheme.partition("+")
    kind = _KINDS.get(word)
    if kind is None or base not in ("redis", "rediss", "unix") or (word and base == "unix"):
        raise ValueError(f"a Redis URL cannot begin with {scheme}://")
    if kind == "plain":
        options = dict(_parse(url))
        return Place(kind=kind, nodes=(_address(options),), tls=base == "rediss", options=options)
    authority, _, tail = rest.partition("/")
    if not tail:
        authority, _, query = authority.partition("?")
        tail = f"?{query}"
    credentials, at, hosts = authority.rpartition("@")
    parts = urlsplit(f"//none/{tail}")
    words = [unquote(part) for part in parts.path.split("/") if part]
    query_options = dict(parse_qsl(parts.query))
    sentinel_options = {
        name.removeprefix("sentinel_"): query_options.pop(name)
        for name in ("sentinel_username", "sentinel_password")
        if name in query_options
    }
    service, database = _service_and_database(kind, words)
    options = dict(_parse(f"{base}://{credentials}{at}none/{database}?{urlencode(query_options)}"))
    _address(options)
    return Place(
        kind=kind,
        nodes=_nodes(hosts, _SENTINEL_PORT if kind == "sentinel" else _REDIS_PORT),
        tls=base == "rediss",
        options=options,
        service=service,
        sentinel_options=sentinel_options,
    )


def open_redis(url: str, *, timeout_s: float = _CLIENT_TIMEOUT_S) -> RedisClient:
    """A client for threads and commands that finds its way; connects when it is first used, or,
    to a cluster, now (RedisError when none of its nodes answers).

    A failed command is tried once more on a fresh connection, so send only what may be repeated.
    """
    place = read_place(url)
    if place.kind == "cluster":
        return _cluster(place, timeout_s=timeout_s)
    options = {**place.options, **_client_options(timeout_s)}
    if place.kind == "sentinel":
        master: redis.Redis = _sentinel(place).master_for(place.service, **options)
        return master
    return redis.Redis.from_url(url, **_client_options(timeout_s))


def _client_options(timeout_s: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": min(timeout_s, _ASK_TIMEOUT_S),
        "socket_keepalive": True,
        "retry": Retry(ConstantBackoff(0.05), 1),
    }


def _sentinel(place: Place) -> Any:
    tls: dict[str, Any] = {"ssl": True} if place.tls else {}
    return _new_sentinel(
        [(node.host, node.port) for node in place.nodes],
        sentinel_kwargs={
            **{name: value for name, value in place.options.items() if name.startswith("ssl")},
            **tls,
            **place.sentinel_options,
            "socket_timeout": _ASK_TIMEOUT_S,
            "socket_connect_timeout": _ASK_TIMEOUT_S,
            "retry": None,
        },
        **tls,
    )


def _cluster(place: Place, *, timeout_s: float) -> RedisCluster:
    options = {name: value for name, value in place.options.items() if name != "db"}
    options.update(_client_options(timeout_s))
    if place.tls:
        options["ssl"] = True
    nodes = [_new_node(node.host, node.port) for node in place.nodes]
    try:
        return _Cluster(startup_nodes=nodes, **options)
    except RedisClusterException as error:
        raise redis.ConnectionError(str(error)) from error


def _address(options: dict[str, Any]) -> Address:
    """Take the address out of redis-py's options."""
    options.pop("connection_class", None)
    if path := options.pop("path", ""):
        return Address(path=path)
    return Address(
        host=options.pop("host", "") or "localhost", port=options.pop("port", 0) or _REDIS_PORT
    )


def _nodes(hosts: str, default_port: int) -> tuple[Address, ...]:
    nodes = []
    for host in hosts.split(","):
        parts = urlsplit(f"//{host}")
        if not parts.hostname:
            raise ValueError("a Redis URL of several servers names each as host:port")
        nodes.append(Address(host=parts.hostname, port=parts.port or default_port))
    return tuple(nodes)


def _service_and_database(kind: Kind, words: list[str]) -> tuple[str, int]:
    service = ""
    if kind == "sentinel":
        if not words:
            raise ValueError("a redis+sentinel:// URL ends with /service")
        service, *words = words
    if len(words) > 1 or (words and not words[0].isdigit()):
        raise ValueError("a Redis URL ends with the number of a database")
    database = int(words[0]) if words else 0
    if kind == "cluster" and database:
        raise ValueError("a Redis Cluster has only database 0")
    return service, database
