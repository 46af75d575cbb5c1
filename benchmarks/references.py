"""The references: the same machine's plain servers answering a constant of the same size."""

import os
import pwd
import subprocess
from pathlib import Path

from benchmarks.load import program
from benchmarks.servers import GUNICORN, PYTHON, ROOT, WORKERS, Server
from devstack.ports import free_port

_NGINX = """
worker_processes {workers};
pid {directory}/nginx.pid;
error_log {directory}/nginx.log crit;
daemon off;
user {user};
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  default_type application/json;
  client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
  uwsgi_temp_path {directory}; scgi_temp_path {directory};
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{body}'; }} }}
}}
"""


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def nginx(directory: Path, *, body_bytes: int, workers: int = WORKERS) -> Server:
    """nginx returning a constant body, access log off, keep-alive."""
    port = free_port()
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "nginx.conf"
    config.write_text(
        _NGINX.format(
            workers=workers, directory=directory, user=_user(), port=port, body="x" * body_bytes
        )
    )
    command = [program("nginx"), "-c", str(config), "-p", str(directory), "-e", "stderr"]
    return Server("nginx", command, port=port)


def _gunicorn(
    name: str,
    worker: str,
    application: str,
    body_bytes: int,
    workers: int,
    packages: Path | None = None,
) -> Server:
    port = free_port()
    environment = {"BODY_BYTES": str(body_bytes)}
    if packages is not None:
        environment["PYTHONPATH"] = str(packages)
    command = [GUNICORN, "-k", worker, "-w", str(workers), "-b", f"127.0.0.1:{port}"]
    command += ["--no-control-socket", "--worker-tmp-dir", "/dev/shm", "--keep-alive", "75"]
    command += [f"benchmarks.reference_apps:{application}"]
    return Server(name, command, port=port, environment=environment)


def bare_asgi(*, body_bytes: int, workers: int = WORKERS) -> Server:
    """The plain uvicorn worker (uvloop, httptools) and an ASGI function."""
    worker = "benchmarks.reference_apps.PlainUvicornWorker"
    return _gunicorn("bare ASGI", worker, "asgi", body_bytes, workers)


def bare_wsgi(*, body_bytes: int, packages: Path, workers: int = WORKERS) -> Server:
    """The meinheld worker out of `packages`, and a WSGI function."""
    worker = "meinheld.gmeinheld.MeinheldWorker"
    return _gunicorn("bare WSGI", worker, "wsgi", body_bytes, workers, packages)


def meinheld(directory: Path) -> Path:
    """meinheld as locked, built into a folder of its own. CalledProcessError when it cannot be,
    as without a C compiler.
    """
    command = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--use-pep517", "--target", str(directory)]
    command += ["-r", str(ROOT / "requirements" / "bench.txt")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return directory
