"""The one reader of the environment.

Every variable the product knows is declared here once, with its default and its meaning;
`docs/configuration.md` lists the same names, and a test holds the two together.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from config.variable import Variable, VariableError, are_networks, is_zone

BASE_DIR = Path(__file__).resolve().parent.parent


VARIABLES: dict[str, Variable] = {}


def declare(name: str, cast: type, default: Any, meaning: str, **bounds: Any) -> str:
    """Declare a variable, with the rest of what a `Variable` has; gives its name back. Two
    declarations of one name are a mistake.
    """
    if name in VARIABLES:
        raise ValueError(f"{name} is declared twice")
    VARIABLES[name] = Variable(name, cast, default, meaning, **bounds)
    return name


def value(name: str) -> Any:
    """The variable's value now: from the environment, or its default. KeyError if undeclared,
    VariableError for a value that it cannot have.

    An empty string counts as not set, as compose files pass `${NAME:-}` for optional ones.
    """
    variable = VARIABLES[name]
    text = os.environ.get(name)
    if not text:
        return variable.default
    return variable.read(text)


def check() -> None:
    """VariableError with all that is wrong."""
    if found := list(_mistakes()):
        raise VariableError("; ".join(found))


def _mistakes() -> Iterator[str]:
    for name in VARIABLES:
        try:
            value(name)
        except VariableError as error:
            yield str(error)


def _one_of(*names: str) -> dict[str, Any]:
    return {"words": f"one of {', '.join(names)}", "is_valid": names.__contains__}


_PORT = {"least": 1, "most": 65_535}
_WATCH_PORT = {"most": 65_535}
_SOME = {"least": 1}
_RATE = {"most": 1_000_000}
# Whoever has not looked for three seconds counts as unable to.
_LOOK = {"least": 0.01, "most": 2}
# Of pauses: none at all would take a core.
_PAUSE = {"least": 0.01}


def data_dir() -> Path:
    """The absolute directory of all embedded state."""
    return Path(value("DATA_DIR")).expanduser().resolve()


def run_dir() -> Path:
    """Where the processes of this host share their state files: worker boards and metrics."""
    return Path(value("RUN_DIR")).expanduser().resolve() if value("RUN_DIR") else data_dir() / "run"


declare("PORT", int, 8000, "Port of every HTTP endpoint, the admin and the pages.", **_PORT)
declare("EDGE_PORT", int, 8010, "Port of the read-only ad edge.", **_PORT)
declare("PACKETS_PORT", int, 8001, "Port of account packets over TCP.", **_PORT)
declare(
    "PACKETS_WATCH_PORT",
    int,
    0,
    "Port of the packets' health and metrics; 0 for none.",
    **_WATCH_PORT,
)
declare("PACKETS_CONNECTIONS", int, 20_000, "Most connections of one packets process.", **_SOME)
declare("PACKETS_IDLE_S", int, 300, "Seconds a packets client may be silent.", **_SOME)
declare("BIND_HOST", str, "127.0.0.1", "Address both pools listen on.")
declare("DATA_DIR", str, ".data", "Directory of all state of the embedded stack.")
declare("RUN_DIR", str, "", "Directory for worker boards and metrics; DATA_DIR/run when empty.")
declare("DATABASE_URL", str, "", "PostgreSQL; empty means the embedded one.")
declare("REDIS_URL", str, "", "Redis of what is taken in bulk; empty means the embedded one.")
declare("CACHE_REDIS_URL", str, "", "Redis of tasks, cache and hints; REDIS_URL when empty.")
declare("WEB_CONCURRENCY", int, os.cpu_count() or 1, "Workers per gunicorn pool.", **_SOME)
declare(
    "GRACEFUL_TIMEOUT_S",
    int,
    10,
    "Seconds a stopping worker may take to answer what it has.",
    **_SOME,
)
declare("SECRET_KEY", str, "", "Django's secret key; required in production.")
declare("DEBUG", bool, False, "Django's debug pages; refused in production.")
declare("ALLOWED_HOSTS", list, [], "Host names served in production, comma separated.")
declare(
    "CSRF_TRUSTED_ORIGINS",
    list,
    [],
    "Origins (scheme://host) allowed to post forms.",
    words="origins such as https://ads.example.com, comma separated",
    is_valid=lambda given: all("://" in each for each in given),
)
declare("SECURE_SSL_REDIRECT", bool, True, "Production: send plain HTTP to HTTPS.")
declare("SECURE_HSTS_SECONDS", int, 31_536_000, "Production: HSTS age in seconds.")
declare(
    "DATABASE_ANSWER_TIMEOUT_S",
    float,
    15.0,
    "Seconds to wait for one answer of PostgreSQL.",
    **_PAUSE,
)
declare("DATABASE_POOL_SIZE", int, 8, "Most database connections per process.", **_SOME)
declare("DATABASE_CONNECT_TIMEOUT_S", int, 3, "Seconds to wait for PostgreSQL to accept.", **_SOME)
declare("MAX_BODY_BYTES", int, 33_554_432, "Largest request body; beyond it 413.", **_SOME)
declare(
    "CATALOG_POLL_S",
    float,
    1.0,
    "Longest time between two looks of a replica at the log.",
    **_LOOK,
)
declare("EXPIRY_INTERVAL_S", float, 5.0, "Seconds between two runs that close ended ads.", **_PAUSE)
declare("STREAM_MAX_BYTES", int, 1_073_741_824, "Memory of one stream; beyond it 503.", **_SOME)
declare(
    "INGEST_DEADLINE_S",
    float,
    5.0,
    "Seconds to wait for Redis before a write is settled.",
    **_PAUSE,
)
declare("COUNTERS_SHARDS", int, 1, "Streams that increments are spread over.", **_SOME)
declare(
    "COUNTERS_DRAIN_INTERVAL_S", float, 1.0, "Seconds between two passes over increments.", **_PAUSE
)
declare(
    "COUNTERS_MINUTES_KEPT_DAYS", int, 3, "Days that counters' history by minute is kept.", **_SOME
)
declare(
    "COUNTERS_HOURS_KEPT_DAYS", int, 90, "Days that counters' history by hour is kept.", **_SOME
)
declare(
    "COUNTERS_DAYS_KEPT_DAYS", int, 1830, "Days that counters' history by day is kept.", **_SOME
)
declare(
    "TIMESERIES_STORE",
    str,
    "postgres",
    "Where measurements are kept: `postgres` or `kdb`.",
    **_one_of("postgres", "kdb"),
)
declare("TIMESERIES_SHARDS", int, 1, "Streams that measurements are spread over.", **_SOME)
declare("TIMESERIES_RETENTION_S", int, 86_400, "Seconds that measurements are kept.", **_SOME)
declare("TIMESERIES_AHEAD_S", float, 60.0, "Seconds that a measurement may be ahead of our clock.")
declare("TIMESERIES_PARTITION_HOURS", int, 1, "Hours of measurements in one table.", **_SOME)
declare(
    "TIMESERIES_READERS", int, 4, "Most database connections for reads of one api worker.", **_SOME
)
declare("TIMESERIES_READ_S", float, 5.0, "Seconds that a read may take; beyond it 503.", **_PAUSE)
declare("KDB_URL", str, "", "kdb+ that measurements are written to; for the store `kdb`.")
declare("KDB_QUERY_URL", str, "", "kdb+ that is asked; the one written to when empty.")
declare(
    "TIMESERIES_WATCH_PORT",
    int,
    0,
    "Port of the writer's health and metrics; 0 for none.",
    **_WATCH_PORT,
)
declare("INGEST_API_KEYS", list, [], "API keys that may send increments and measurements.")
declare(
    "INGEST_RATE_PER_ADDRESS", float, 0.0, "Writes a second of one address; 0: no limit.", **_RATE
)
declare("INGEST_RATE_PER_KEY", float, 0.0, "Writes a second of one API key; 0: no limit.", **_RATE)
declare(
    "INGEST_RATE_BURST_S", float, 1.0, "Seconds' worth of writes that may come at once.", **_PAUSE
)
declare(
    "TRUSTED_PROXIES",
    list,
    [],
    "Proxies (addresses, networks) whose word on clients counts.",
    words="addresses or networks, comma separated",
    is_valid=are_networks,
)
declare(
    "ACCOUNT_SESSION_IDLE_S",
    int,
    2_592_000,
    "Seconds without use after which a session ends.",
    **_SOME,
)
declare(
    "ACCOUNT_SESSION_LONGEST_S", int, 15_552_000, "Seconds after which any session ends.", **_SOME
)
declare(
    "ACCOUNT_LOCKOUT_FAILURES", int, 10, "Failed logins after which an account is locked.", **_SOME
)
declare(
    "ACCOUNT_LOCKOUT_ADDRESS_FAILURES", int, 500, "Failed logins that lock an address.", **_SOME
)
declare(
    "ACCOUNT_LOCKOUT_FIRST_S",
    int,
    60,
    "Seconds of the first lock; each next is twice as long.",
    **_SOME,
)
declare("ACCOUNT_LOCKOUT_LONGEST_S", int, 3600, "Seconds of the longest lock.", **_SOME)
declare(
    "ACCOUNT_LOCKOUT_FORGET_S", int, 86_400, "Seconds after which failures are forgotten.", **_SOME
)
declare(
    "ACCOUNT_PASSWORD_MEMORY_S", int, 60, "Seconds a verified password is known; 0: not at all."
)
declare("ACCOUNT_HASHING_THREADS", int, 0, "Threads of a process that hash; 0: its share of cores.")
declare("ACCOUNT_HASHING_WAITING", int, 64, "Logins that may wait for them; beyond it 503.")
declare("ACCOUNT_AUDIT_DAYS", int, 90, "Days that the audit and ended sessions are kept.", **_SOME)
declare("PICTURES_DIR", str, "", "Directory of people's pictures; DATA_DIR/pictures when empty.")
declare("PICTURES_BUCKET", str, "", "S3 bucket of people's pictures, instead of a directory.")
declare("PICTURES_ENDPOINT", str, "", "Address of an S3 server other than Amazon's.")
declare("PICTURES_REGION", str, "", "Region of the bucket.")
declare(
    "LOG_LEVEL",
    str,
    "INFO",
    "Least severe level that is logged.",
    **_one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
)
declare("LOG_FORMAT", str, "json", "`json`, or `console` for people.", **_one_of("json", "console"))
declare("SENTRY_DSN", str, "", "Where errors are reported; empty means nowhere.")
declare(
    "TIME_ZONE",
    str,
    "UTC",
    "Time zone of the admin's pages.",
    words="a time zone such as Europe/Berlin",
    is_valid=is_zone,
)
