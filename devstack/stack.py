"""`make run`: the embedded stores, the database prepared, and every process of the product."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from devstack.data_directory import DataDirectory
from devstack.named import check_named_redis
from devstack.options import Options, check_ports, read_options
from devstack.postgres import Postgres
from devstack.programs import ROOT, Program
from devstack.readiness import celery_refusal, http_refusal, packets_refusal
from devstack.redis import Redis
from devstack.supervisor import StopRequested, Supervisor

CELERY_CONCURRENCY = 2
# Below the time the supervisor leaves the web pools, so that they end by themselves.
GRACEFUL_TIMEOUT_S = 8


def announce(text: str) -> None:
    """Print at once; a reader who left does not stop the stack."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115


def run() -> int:
    """Run the stack in the foreground until asked to stop; gives the exit code.

    StackError for everything the engineer can put right; nothing is left running then either.
    """
    began_s = time.monotonic()

    def say(text: str) -> None:
        announce(f"[{time.monotonic() - began_s:6.1f} s] {text}")

    options = read_options()
    try:
        with DataDirectory(options.data_directory, say=say) as data:
            check_ports(options)
            Stack(options, data, say).run()
    except StopRequested:
        say("stopped")
    return 0


class Stack:
    """One run of the stack on a data directory that is ours."""

    def __init__(self, options: Options, data: DataDirectory, say: Callable[[str], None]) -> None:
        self._options = options
        self._data = data
        self._say = say
        self._postgres = Postgres(
            data.path / "postgres", logs=data.logs, workers=options.web_concurrency
        )
        self._redis = Redis(data.path / "redis")

    def run(self) -> None:
        """Start everything in order, then keep it running. Ends by StopRequested or StackError."""
        with Supervisor(
            logs=self._data.logs,
            say=self._say,
            on_change=self._publish,
            inherited_fds=[self._data.children_lock_fd],
        ) as supervisor:
            try:
                self._bring_up(supervisor)
                supervisor.watch()
            except StopRequested:
                self._say("stopping")
                raise

    def _bring_up(self, supervisor: Supervisor) -> None:
        check_named_redis(self._options)
        embedded = self._embedded_stores()
        if embedded:
            self._say(f"starting the embedded stores in {self._data.path}")
        for store in embedded:
            store.prepare()
        supervisor.start(store.program() for store in embedded)
        supervisor.wait_ready()
        self._say("preparing the database")
        supervisor.run_to_end(self._django("prepare", "prepare"))
        programs = self._programs()
        self._say(f"starting {', '.join(program.name for program in programs)}")
        supervisor.start(programs)
        supervisor.wait_ready()
        # Nobody waits for beat: it starts once the others no longer need every processor.
        supervisor.start([self._beat()])
        self._say("everything answers")
        self._print_ready()

    def _embedded_stores(self) -> list[Postgres | Redis]:
        """Those for which no other server was named."""
        stores: list[Postgres | Redis] = []
        if not self._options.database_url:
            stores.append(self._postgres)
        if not self._options.redis_url:
            stores.append(self._redis)
        return stores

    def _programs(self) -> list[Program]:
        """The table of the product's processes: a new one is one more entry."""
        host, node = self._options.reachable_host, f"worker@port{self._options.port}"
        return [
            self._python(
                "api",
                *("gunicorn", "-c", "config/gunicorn_api.py", "config.asgi:application"),
                refusal=http_refusal(host, self._options.port),
            ),
            self._python(
                "edge",
                *("gunicorn", "-c", "config/gunicorn_edge.py", "config.asgi_edge:application"),
                refusal=http_refusal(host, self._options.edge_port),
            ),
            self._django(
                "packets",
                "serve_packets",
                refusal=packets_refusal(host, self._options.packets_port),
            ),
            self._python(
                "worker",
                *("celery", "-A", "config", "worker", "-n", node),
                *("--concurrency", str(CELERY_CONCURRENCY), "--loglevel", "INFO"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
                refusal=celery_refusal(self._cache_redis_url, node),
                stop_stage=1,
            ),
            self._django("writer", "write_timeseries", stop_stage=1),
        ]

    def _beat(self) -> Program:
        return self._python(
            "beat",
            *("celery", "-A", "config", "beat", "--loglevel", "INFO", "--pidfile="),
            *("--schedule", str(self._data.run / "celerybeat-schedule")),
            stop_stage=1,
        )

    def _python(
        self,
        name: str,
        module: str,
        *arguments: str,
        refusal: Callable[[], str | None] = lambda: None,
        stop_stage: int = 0,
    ) -> Program:
        return Program(
            name=name,
            # By module, not by .venv/bin/…: those name their interpreter in a first line that the
            # kernel cuts when the path is long.
            command=[sys.executable, "-m", module, *arguments],
            environment=self._environment(),
            refusal=refusal,
            stop_stage=stop_stage,
        )

    def _django(
        self,
        name: str,
        *arguments: str,
        refusal: Callable[[], str | None] = lambda: None,
        stop_stage: int = 0,
    ) -> Program:
        return Program(
            name=name,
            command=[sys.executable, str(ROOT / "manage.py"), *arguments],
            environment=self._environment(),
            refusal=refusal,
            stop_stage=stop_stage,
        )

    def _environment(self) -> dict[str, str]:
        """The engineer's environment, with everything that is settled now filled in."""
        return {
            "GRACEFUL_TIMEOUT_S": str(GRACEFUL_TIMEOUT_S),
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings.local",
            "DATABASE_URL": self._database_url,
            "REDIS_URL": self._redis_url,
            "CACHE_REDIS_URL": self._cache_redis_url,
            "DATA_DIR": str(self._data.path),
            "RUN_DIR": str(self._data.run),
            "PORT": str(self._options.port),
            "EDGE_PORT": str(self._options.edge_port),
            "PACKETS_PORT": str(self._options.packets_port),
            "WEB_CONCURRENCY": str(self._options.web_concurrency),
        }

    @property
    def _database_url(self) -> str:
        return self._options.database_url or self._postgres.url

    @property
    def _redis_url(self) -> str:
        return self._options.redis_url or self._redis.url

    @property
    def _cache_redis_url(self) -> str:
        return self._options.cache_redis_url or self._redis_url

    def _publish(self, processes: Mapping[str, int]) -> None:
        self._data.write_stack(
            database_url=self._database_url,
            redis_url=self._redis_url,
            cache_redis_url=self._cache_redis_url,
            processes=processes,
        )

    def _print_ready(self) -> None:
        url = self._options.url
        lines = [
            f"ready {url}",
            f"  edge   {self._options.edge_url}/api/v1/ad",
            f"  admin  {url}/admin/  ({self._who_may()})",
            f"  api    {url}/api/v1/docs/",
            f"  tcp    {self._options.reachable_host}:{self._options.packets_port}  (packets)",
            f"  logs   {self._data.logs}",
        ]
        announce("\n".join(lines))

    def _who_may(self) -> str:
        file = self._data.path / "operator.json"
        if file.exists():
            return f"name, password and token: {file}"
        return "the operators that this database has; make one with manage.py createsuperuser"
