"""deploy/nginx/nginx.conf: run on this machine, before real pools and before one that tells all."""

import getpass
import gzip
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from config import env
from devstack.ports import LOOPBACK, free_port
from devstack.programs import Child, Program
from runtime.http.limits import Limits
from tests.deploy.teller import teller

pytestmark = pytest.mark.xdist_group("deploy")

CONFIGURATION = env.BASE_DIR / "deploy/nginx/nginx.conf"
HOST = "ads.example.com"
# What a proxy that ended TLS says of its visitor.
HTTPS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "1.2.3.4"}


def _nginx() -> str:
    """The program. Without it these tests are skipped, with a line that says so."""
    path = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if path is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    return path


def _configure(directory: Path, *, listen: int, api: int, edge: int, trusted: str = "") -> Path:
    """The configuration with this machine's ports, and paths below `directory`."""
    proxies = directory / "trusted_proxies.conf"
    proxies.write_text(trusted)
    text = CONFIGURATION.read_text()
    for old, new in (
        ("listen 8080", f"listen {LOOPBACK}:{listen}"),
        ("server api:8000", f"server {LOOPBACK}:{api}"),
        ("server edge:8010", f"server {LOOPBACK}:{edge}"),
        ("/tmp/", f"{directory}/"),
        ("/etc/nginx/trusted_proxies.conf", str(proxies)),
        ("/dev/stdout", f"{directory}/access.log"),
    ):
        assert old in text
        text = text.replace(old, new)
    path = directory / "nginx.conf"
    path.write_text(text)
    return path


@contextmanager
def _proxy(directory: Path, **where) -> Iterator[int]:
    """nginx under the configuration; gives its port."""
    port = free_port()
    configuration = _configure(directory, listen=port, **where)
    tested = subprocess.run(
        [_nginx(), "-t", "-c", str(configuration)], capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stderr
    assert "[warn]" not in tested.stderr

    def refusal() -> str | None:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except OSError as error:
            return str(error)
        return None

    # Its workers, else `nobody` where the suite is root, write below the test's directory.
    user = f"user {getpass.getuser()}; " if os.geteuid() == 0 else ""
    command = [_nginx(), "-g", f"{user}daemon off;", "-c", str(configuration)]
    child = Child(Program(name="nginx", command=command, refusal=refusal), log_directory=directory)
    child.start()
    try:
        child.wait_ready(10)
        yield port
    finally:
        child.stop(5)


def _http(deployment) -> dict[str, int]:
    """The ports of the pools; packets do not pass here."""
    return {pool: deployment.ports[pool] for pool in ("api", "edge")}


def _ask(port, method="GET", path="/api/v1/ad", *, body=None, headers=None, **options):
    """Status, headers and body of one request."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    try:
        connection.request(method, path, body, {"Host": HOST, **(headers or {})}, **options)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A proxy that trusts nobody, before two pools that tell what reached them."""
    with (
        teller("api") as api,
        teller("edge") as edge,
        _proxy(tmp_path_factory.mktemp("nginx"), api=api, edge=edge) as port,
    ):
        yield port


def _told(port, *args, **options):
    status, _, body = _ask(port, *args, **options)
    assert status == 200
    return json.loads(body)


class TestWhereItGoes:
    """Which pool gets what."""

    def test_reads_go_to_the_edge(self, told):
        assert _told(told, path="/api/v1/ad?age=25")["pool"] == "edge"

    @pytest.mark.parametrize("path", ["/api/v1/ads/", "/admin/", "/", "/api/v1/ad/", "/healthz/"])
    def test_the_rest_goes_to_the_api(self, told, path):
        assert _told(told, path=path)["pool"] == "api"

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_writes_go_to_the_api(self, told, method):
        got = _told(told, method, body="{}")
        assert (got["pool"], got["body"]) == ("api", "{}")

    def test_a_question_for_a_thousand_counters_passes(self, told):
        path = "/counters?" + "&".join([f"key={uuid4()}"] * 1000)
        assert _told(told, path=path)["pool"] == "api"

    def test_a_read_with_a_body_goes_to_the_api(self, told):
        assert _told(told, body="{}")["pool"] == "api"
        assert _told(told, headers={"Content-Length": "0"})["pool"] == "api"

    def test_a_chunked_read_goes_to_the_api_with_its_length(self, told):
        got = _told(told, body=iter([b"ab", b"c"]), encode_chunked=True)
        assert (got["pool"], got["body"]) == ("api", "abc")
        assert "transfer-encoding" not in got["headers"]

    @pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "chunked, identity", "xchunked"])
    def test_other_codings_reach_nobody(self, told, coding):
        status, _, _ = _ask(told, headers={"Transfer-Encoding": coding})
        assert status in (400, 501)

    def test_what_is_no_http_is_refused_in_our_words(self, told):
        status, headers, body = _ask(told, headers={"Content-Length": "1, 2"})
        assert (status, headers["Content-Type"]) == (400, "application/json")
        assert set(json.loads(body)) == {"msg"}

    @pytest.mark.parametrize("path", ["/readyz", "/metrics"])
    def test_what_is_inside_stays_inside(self, told, path):
        status, _, _ = _ask(told, path=path)
        assert status == 404


class TestWhatIsSaid:
    """What nginx tells the pools about the visitor."""

    def test_a_stranger_is_not_believed(self, told):
        headers = _told(told, path="/admin/", headers=HTTPS)["headers"]
        assert headers["x-forwarded-for"] == LOOPBACK
        assert headers["x-forwarded-proto"] == "http"
        assert headers["host"] == HOST

    def test_a_trusted_proxy_is_believed(self, tmp_path):
        trusted = f"set_real_ip_from {LOOPBACK};"
        with (
            teller("api") as api,
            _proxy(tmp_path, api=api, edge=api, trusted=trusted) as port,
        ):
            claims = {**HTTPS, "X-Forwarded-For": "9.9.9.9, 1.2.3.4"}
            headers = _told(port, path="/admin/", headers=claims)["headers"]
            assert headers["x-forwarded-for"] == "1.2.3.4"
            assert headers["x-forwarded-proto"] == "https"
            headers = _told(port, path="/admin/", headers={"X-Forwarded-For": "1.2.3.4"})["headers"]
            assert "x-forwarded-proto" not in headers

    def test_each_request_has_an_id_of_ours(self, told):
        ids = {
            _told(told, path="/admin/", headers={"X-Request-ID": "mine"})["headers"]["x-request-id"]
            for _ in range(3)
        }
        assert len(ids) == 3
        assert "mine" not in ids

    def test_connections_are_kept(self, told):
        assert "connection" not in _told(told)["headers"]


def test_a_body_over_the_limit_is_refused(told):
    assert "client_max_body_size 32m;" in CONFIGURATION.read_text()
    assert env.VARIABLES["MAX_BODY_BYTES"].default == 32 * 1024 * 1024
    with socket.create_connection((LOOPBACK, told), timeout=60) as connection:
        length = 32 * 1024 * 1024 + 1
        connection.sendall(
            f"POST /api/v1/ad HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\n\r\n".encode()
        )
        answer = connection.recv(1024)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b'{"msg":"body: is too large"}')


def test_nginx_is_the_one_to_close_an_idle_connection():
    (idle_s,) = set(re.findall(r"^ {8}keepalive_timeout (\d+)s;", CONFIGURATION.read_text(), re.M))
    assert int(idle_s) < Limits().keep_alive_s


@pytest.mark.parametrize("status", [502, 503, 504])
def test_reads_go_to_the_api_while_the_edge_fails(tmp_path, status):
    with (
        teller("api") as api,
        teller("edge", status) as edge,
        _proxy(tmp_path, api=api, edge=edge) as port,
    ):
        assert {_told(port)["pool"] for _ in range(5)} == {"api"}


def test_reads_and_health_go_on_while_the_api_is_gone(tmp_path):
    with teller("edge") as edge, _proxy(tmp_path, api=free_port(), edge=edge) as port:
        assert _told(port)["pool"] == "edge"
        status, headers, body = _ask(port, path="/admin/")
        assert (status, headers["Retry-After"]) == (502, "1")
        assert set(json.loads(body)) == {"msg"}
        status, headers, body = _ask(port, path="/healthz")
        assert (status, headers["Content-Type"]) == (200, "application/json")
        assert json.loads(body) == {"status": "ok"}


def test_reads_go_to_the_api_while_the_edge_is_gone(tmp_path):
    with teller("api") as api, _proxy(tmp_path, api=api, edge=free_port()) as port:
        assert {_told(port)["pool"] for _ in range(5)} == {"api"}


def test_the_log_is_one_json_object_a_line_without_what_is_hot(tmp_path):
    with teller("api") as api, _proxy(tmp_path, api=api, edge=api) as port:
        asked = {"User-Agent": 'odd "agent" \\ '}
        request_id = _told(port, path="/admin/%22", headers=asked)["headers"]["x-request-id"]
        _told(port)
        for path in ("/increment", "/increment/batch", "/save", "/save/batch"):
            _told(port, "POST", path=path, body="{}")
    (line,) = (tmp_path / "access.log").read_text().splitlines()
    logged = json.loads(line)
    assert (logged["request_id"], logged["status"]) == (request_id, 200)
    assert (logged["method"], logged["path"], logged["ip"]) == ("GET", '/admin/"', LOOPBACK)


@pytest.fixture(scope="module")
def product(deployment, tmp_path_factory):
    """nginx, trusted and trusting, before both pools as docker-compose.yml starts them."""
    trusted = f"set_real_ip_from {LOOPBACK};"
    with (
        deployment.running("api"),
        deployment.running("edge"),
        _proxy(tmp_path_factory.mktemp("nginx"), **_http(deployment), trusted=trusted) as port,
    ):
        yield port


class TestTheProduct:
    """Real requests through nginx to the pools."""

    def test_ads_are_served(self, product):
        status, headers, body = _ask(product, path="/api/v1/ad?age=25&country=TW&limit=5")
        assert status == 200
        assert json.loads(body) == {"ads": [], "total": 0}
        assert headers["X-Catalog-Version"] == "0"
        assert headers.get_all("X-Content-Type-Options") == ["nosniff"]

    def test_a_mistake_is_answered_by_the_same_words_from_both_pools(self, product):
        from_edge = _ask(product, path="/api/v1/ad?age=0")
        to_api = {**HTTPS, "Content-Length": "0"}
        from_api = _ask(product, path="/api/v1/ad?age=0", headers=to_api)
        assert from_edge[0] == from_api[0] == 400
        assert from_edge[2] == from_api[2]

    def test_a_write_needs_a_login(self, product):
        status, headers, body = _ask(product, "POST", body="{}", headers=HTTPS)
        assert status == 401
        assert headers["WWW-Authenticate"].startswith("Token")
        assert "msg" in json.loads(body)
        assert headers.get_all("X-Content-Type-Options") == ["nosniff"]

    def test_plain_http_is_sent_to_https(self, product):
        status, headers, _ = _ask(product, path="/admin/login/")
        assert status == 301
        assert headers["Location"] == f"https://{HOST}/admin/login/"

    def test_the_login_page_is_whole_and_safe(self, product):
        status, headers, body = _ask(product, path="/admin/login/", headers=HTTPS)
        assert status == 200
        assert headers["Strict-Transport-Security"].startswith("max-age=31536000")
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "secure" in headers["Set-Cookie"].lower()
        assert "nginx/" not in headers["Server"]
        styles = [part.split('"')[0] for part in body.decode().split('href="')[1:]]
        styles = [style for style in styles if style.endswith(".css")]
        assert styles
        for style in styles:
            status, headers, _ = _ask(product, path=style, headers=HTTPS)
            assert status == 200, style
            assert headers["Content-Type"].startswith("text/css")
            assert "immutable" in headers["Cache-Control"]

    def test_pages_are_compressed(self, product):
        asks = {**HTTPS, "Accept-Encoding": "gzip"}
        _, headers, body = _ask(product, path="/api/v1/schema/?format=json", headers=asks)
        assert headers["Content-Encoding"] == "gzip"
        assert json.loads(gzip.decompress(body))["openapi"]

    def test_another_host_is_refused(self, product):
        status, _, _ = _ask(product, path="/admin/", headers={**HTTPS, "Host": "evil.example"})
        assert status == 400

    def test_the_pools_answer_probes_whatever_the_host(self, deployment, product):
        for pool, port in _http(deployment).items():
            for path in ("/healthz", "/readyz", "/metrics"):
                status, _, _ = _ask(port, path=path, headers={"Host": "10.1.2.3"})
                assert status == 200, f"{pool} {path}"
