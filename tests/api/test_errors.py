"""Whatever a client sends, it gets a `msg` and a 4xx; and a 503 when the database is away."""

import json
from uuid import uuid4

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from adserver import services
from adserver.models import AdChange
from config.api import OrjsonRenderer
from config.faults import UNKNOWN_HOST_MSG
from tests.api.bodies import ad_body

JSON = "application/json"
TWICE_AMONG_MANY = "{" + ",".join(f'"k{n}":1' for n in [*range(200_000), 199_999]) + "}"


def post(client, body: bytes | str, kind: str = JSON, **headers: str):
    return client.generic("POST", "/api/v1/ad", body, content_type=kind, headers=headers)


@pytest.mark.parametrize(
    ("body", "msg"),
    [
        ("{", "body: is not valid JSON (line 1, column 2)"),
        ("\n{'a': 1}", "body: is not valid JSON (line 2, column 2)"),
        (" ", "body: is not valid JSON (line 1, column 2)"),
        ("{} {}", "body: is not valid JSON (line 1, column 4)"),
        ('{"title": "a\nb"}', "body: is not valid JSON (line 1, column 13)"),
        ('{"title": 1, "title": 2}', "body: the key 'title' is given twice"),
        # With a look at all names for each of them it would take minutes.
        (TWICE_AMONG_MANY, "body: the key 'k199999' is given twice"),
        ('{"age_start": NaN}', "body: NaN is not a JSON number"),
        ('{"age_start": -Infinity}', "body: -Infinity is not a JSON number"),
        ('{"age_start": ' + "9" * 5000 + "}", "body: holds a number that is too long"),
        ('{"a":' * 100_000, "body: is nested too deeply"),
        ("[" * 100_000, "body: is nested too deeply"),
        (b'{"title": "\xff"}', "body: is not valid UTF-8"),
        ("\ufeff{}", "body: is not valid JSON"),
        ("[]", "body: must be an object"),
        ("null", "body: must be an object"),
        ('"text"', "body: must be an object"),
        ("1e999", "body: must be an object"),
        ("", "title: is required; content: is required"),
        (json.dumps(ad_body(title="\ud800 alone")), "title: must be valid Unicode text"),
        (json.dumps(ad_body(title="a\x00bcdef")), "title: must not contain a NUL character"),
        (json.dumps(ad_body(**{"\ud800": 1})), "\ud800: is not a field of an ad"),
        (json.dumps(ad_body(country=["\ud800"])), "country: '\\ud800' is not an ISO"),
        (json.dumps(ad_body(age_start=1e999)), "body: Infinity is not a JSON number"),
        ('{"age_start": 1e999}', "age_start: must be a whole number"),
    ],
)
def test_broken_bodies(client_op, body, msg):
    answer = post(client_op, body)
    assert answer.status_code == 400
    assert json.loads(answer.content)["msg"].startswith(msg)
    assert answer["Content-Type"] == JSON


def test_a_body_without_a_type_is_json(client_op):
    assert post(client_op, json.dumps(ad_body()), kind="").status_code == 201


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "text/csv"])
def test_bodies_of_other_types(client_op, kind):
    answer = post(client_op, json.dumps(ad_body()), kind=kind)
    assert (answer.status_code, answer.json()) == (
        415,
        {"msg": "content-type: must be application/json"},
    )


@pytest.mark.parametrize("path", ["/api/v1/ad", "/api/v1/ads/", "/api/v1/ads/import/"])
def test_too_large_a_body(client_op, settings, path):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    answer = client_op.generic("POST", path, b"[" + b" " * 1_000, content_type=JSON)
    assert (answer.status_code, answer.json()) == (413, {"msg": "body: is too large"})


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/v1/ad", {"GET", "POST", "HEAD", "OPTIONS"}),
        ("DELETE", "/api/v1/ads/", {"GET", "POST", "HEAD", "OPTIONS"}),
        ("GET", "/api/v1/ads/import/", {"POST", "OPTIONS"}),
        ("TRACE", "/api/v1/ads/import/", {"POST", "OPTIONS"}),
    ],
)
def test_other_methods(client_op, method, path, allowed):
    answer = client_op.generic(method, path)
    assert (answer.status_code, answer.json()) == (
        405,
        {"msg": f"method: {method} is not possible here"},
    )
    assert set(answer["Allow"].split(", ")) == allowed


def test_another_form_of_answer(client_op):
    answer = client_op.get("/api/v1/ads/", headers={"accept": "application/xml"})
    assert (answer.status_code, answer.json()) == (
        406,
        {"msg": "accept: only application/json is offered"},
    )


@pytest.mark.parametrize(
    "path",
    [
        "/api/",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v1/ads/no-uuid/",
        "/api/v1/ads/0192f0aa-0000-7000-8000-00000000000/",
        "/api/v1/ads/%00/",
        "/api/v1/ads/%ff%fe/",
        "/api/v1/ads/" + 10_000 * "x" + "/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_there(client_op, method, path):
    answer = client_op.generic(method, path, content_type=JSON)
    assert (answer.status_code, answer.json()) == (404, {"msg": "path: there is nothing here"})


def test_a_host_that_is_not_ours(client_op, settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    answer = client_op.get("/api/v1/ads/", headers={"host": "evil.example"})
    assert (answer.status_code, answer.json()) == (400, {"msg": UNKNOWN_HOST_MSG})
    page = client_op.get("/", headers={"host": "evil.example", "accept": "text/html"})
    assert page.status_code == 400
    assert "ALLOWED_HOSTS names the hosts" in page.content.decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"cookie": 'sessionid="\\000aaaaaaaaaaaa"'},
        {"authorization": "Token \x00"},
        {"authorization": "Token \xff\xfe"},
        {"cookie": "sessionid=" + "x" * 5000},
        {"content-type": "\xff/\x00; ="},
        {"x-forwarded-for": "\x00"},
    ],
)
def test_odd_headers(anonymous, db, headers):
    for path in ("/api/v1/ads/", "/api/v1/ad?age=0"):
        answer = anonymous.get(path, headers=headers)
        assert answer.status_code in (400, 401)
        assert set(answer.json()) == {"msg"}
    assert 300 <= anonymous.get("/admin/", headers=headers).status_code < 500


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_database_away_during_a_write(client_op, monkeypatch, error):
    def fail(**_):
        raise error("the connection is closed")

    monkeypatch.setattr(services, "ad_create", fail)
    answer = post(client_op, json.dumps(ad_body()))
    assert (answer.status_code, answer.json()) == (
        503,
        {"msg": "database: cannot be reached, nothing was accepted"},
    )
    assert answer["Retry-After"] == "1"
    assert not AdChange.objects.exists()


def busy(*_, **__):
    raise services.CatalogBusyError


def test_a_long_import_in_the_way_of_a_write(client_op, monkeypatch):
    monkeypatch.setattr(services, "ad_create", busy)
    answer = post(client_op, json.dumps(ad_body()))
    assert (answer.status_code, answer.json()) == (
        503,
        {"msg": "catalog: another write takes long, nothing was accepted"},
    )
    assert answer["Retry-After"] == "1"


def test_a_long_import_in_the_way_of_the_admin(operator, monkeypatch):
    monkeypatch.setattr(services, "ads_delete", busy)
    client = Client(raise_request_exception=False)
    client.force_login(operator)
    answer = client.post("/admin/adserver/ad/bulk/delete/", {"id": str(uuid4())})
    assert answer.status_code == 503
    assert answer["Retry-After"] == "1"
    assert "busy with a long import" in answer.content.decode()


@pytest.mark.parametrize("path", ["/api/v1/ads/", "/admin/"])
def test_database_that_nobody_reaches(monkeypatch, db, path):
    def fail(*_, **__):
        raise OperationalError("connection refused")

    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", fail)
    client = Client(raise_request_exception=False)
    client.cookies["sessionid"] = "a" * 32
    answer = client.get(path)
    assert answer.status_code == 503
    assert answer["Retry-After"] == "1"
    assert b"refused" not in answer.content


def test_what_nobody_foresaw_is_told_nothing_of(client_op, monkeypatch, caplog):
    def fail(**_):
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(services, "ad_create", fail)
    answer = post(client_op, json.dumps(ad_body()))
    assert (answer.status_code, answer.json()) == (500, {"msg": "internal error"})
    assert "a secret" in caplog.text


def test_renderer_never_fails():
    render = OrjsonRenderer().render
    assert render(None) == b""
    odd = {"a": "\ud800", "b": 10**30, "c": {1, 2}.__class__}
    assert json.loads(render(odd)) == {"a": "\ud800", "b": 10**30, "c": "<class 'set'>"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_pages_are_only_read(path, method):
    answer = Client(enforce_csrf_checks=True).generic(method, path, "{}")
    assert answer.status_code == 405
    assert answer["allow"] == "GET, HEAD"
    assert json.loads(answer.content) == {"msg": "method: must be GET or HEAD"}


@pytest.mark.parametrize("path", ["/api/v1/schema/", "/api/v1/docs/"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/vnd.oai.openapi"])
def test_descriptions_are_only_read_and_say_so_in_json(path, method, accept):
    answer = Client().generic(method, path, headers={"accept": accept})
    assert answer.status_code == 405
    assert answer["content-type"] == JSON
    assert json.loads(answer.content)["msg"].startswith("method: ")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/api/v1/ad"])
def test_a_host_that_is_not_served_is_told_in_json(path, settings):
    settings.ALLOWED_HOSTS = ["here.example"]
    answer = Client().get(path, headers={"host": "elsewhere.example"})
    assert answer.status_code == 400
    assert json.loads(answer.content)["msg"]


def test_a_write_without_the_last_slash_goes_where_it_was_meant(client_op):
    answer = client_op.post("/api/v1/ads", json.dumps(ad_body()), content_type=JSON)
    # By the same method, which clients do not do after a 301.
    assert (answer.status_code, answer["location"]) == (308, "/api/v1/ads/")
    followed = client_op.post("/api/v1/ads", json.dumps(ad_body()), content_type=JSON, follow=True)
    assert followed.status_code == 201
