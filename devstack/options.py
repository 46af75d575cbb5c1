"""What an engineer may set for the stack: the product's own variables, checked before anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from config import env
from config.variable import VariableError
from devstack.errors import StackError
from devstack.ports import LOOPBACK, is_free, is_own_address

_DATABASE_SCHEMES = ("postgresql://", "postgres://")
_CACHE_SCHEMES = ("redis://", "rediss://", "unix://")
_REDIS_SCHEMES = (
    *_CACHE_SCHEMES,
    *("redis+sentinel://", "rediss+sentinel://", "redis+cluster://", "rediss+cluster://"),
)
_EVERY_ADDRESS = {"": LOOPBACK, "0.0.0.0": LOOPBACK, "::": "[::1]", "[::]": "[::1]"}  # noqa: S104


@dataclass(frozen=True, kw_only=True)
class Options:
    """The settings of one stack; the stores' URLs are empty for the embedded ones."""

    data_directory: Path
    bind_host: str
    port: int
    edge_port: int
    packets_port: int
    database_url: str
    redis_url: str
    cache_redis_url: str
    web_concurrency: int

    @property
    def ports(self) -> dict[str, int]:
        """Every port that the stack listens on, by its variable."""
        return {
            "PORT": self.port,
            "EDGE_PORT": self.edge_port,
            "PACKETS_PORT": self.packets_port,
        }

    @property
    def url(self) -> str:
        """Where the api answers."""
        return f"http://{self.reachable_host}:{self.port}"

    @property
    def edge_url(self) -> str:
        """Where the edge answers."""
        return f"http://{self.reachable_host}:{self.edge_port}"

    @property
    def reachable_host(self) -> str:
        """An address of this machine that the listening address includes."""
        return _EVERY_ADDRESS.get(self.bind_host, self.bind_host)


def read_options() -> Options:
    """The options from the environment. StackError naming the variable that is wrong."""
    try:
        env.check()
    except VariableError as error:
        raise StackError(str(error)) from None
    options = Options(
        data_directory=env.data_dir(),
        bind_host=env.value("BIND_HOST"),
        port=env.value("PORT"),
        edge_port=env.value("EDGE_PORT"),
        packets_port=env.value("PACKETS_PORT"),
        database_url=env.value("DATABASE_URL"),
        redis_url=env.value("REDIS_URL"),
        cache_redis_url=env.value("CACHE_REDIS_URL"),
        web_concurrency=env.value("WEB_CONCURRENCY"),
    )
    _check_ports_differ(options.ports)
    for name, url, schemes in (
        ("DATABASE_URL", options.database_url, _DATABASE_SCHEMES),
        ("REDIS_URL", options.redis_url, _REDIS_SCHEMES),
        ("CACHE_REDIS_URL", options.cache_redis_url, _CACHE_SCHEMES),
    ):
        if url and not url.startswith(schemes):
            raise StackError(f"{name} must begin with {' or '.join(schemes)}")
    if not (
        options.cache_redis_url or (options.redis_url or "redis://").startswith(_CACHE_SCHEMES)
    ):
        raise StackError("CACHE_REDIS_URL must be set when REDIS_URL names a cluster or sentinels")
    return options


def _check_ports_differ(ports: Mapping[str, int]) -> None:
    for (name, port), (other, same) in combinations(ports.items(), 2):
        if port == same:
            raise StackError(f"{name} and {other} are both {port}; give them different ones")


def check_ports(options: Options) -> None:
    """StackError when another program already listens where ours shall, or nobody can."""
    if not is_own_address(options.bind_host.strip("[]")):
        raise StackError(f"BIND_HOST must be an address of this machine, not {options.bind_host}")
    for name, port in options.ports.items():
        if not is_free(port, options.bind_host.strip("[]")):
            raise StackError(f"port {port} is in use by another program; stop it, or set {name}")
