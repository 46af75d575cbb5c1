"""Every write over HTTP: its answer, its mistakes, and that both ports serve it."""

import json
import socket
from contextlib import suppress
from typing import Any

import httpx
import psutil
import pytest

from tests.api.bodies import MISTAKES, ad_body
from tests.contract.conftest import PORTS, url_of, wait_visible
from tests.support import plain_http
from tests.support.stack import wait_until

pytestmark = pytest.mark.xdist_group("contract")

CREATES = ["/api/v1/ad", "/api/v1/ads/"]
OPERATOR_ENDPOINTS = [
    ("POST", "/api/v1/ad"),
    ("GET", "/api/v1/ads/"),
    ("POST", "/api/v1/ads/"),
    ("POST", "/api/v1/ads/import/"),
    ("GET", "/api/v1/ads/{id}/"),
    ("PUT", "/api/v1/ads/{id}/"),
    ("PATCH", "/api/v1/ads/{id}/"),
    ("DELETE", "/api/v1/ads/{id}/"),
    ("GET", "/api/v1/ads/{id}/history/"),
]
_MAKE_READER = """
from django.contrib.auth import get_user_model
from rest_framework.authtoken.models import Token
user = get_user_model().objects.create_user("guest", password="guest-password", is_staff=True)
print("token", Token.objects.create(user=user).key)
"""


def served(stack, answer: httpx.Response) -> list[dict[str, Any]]:
    """The ads that both ports give once every worker holds the write; they must agree."""
    wait_visible(stack, answer)
    api, edge = (plain_http.get(f"{url_of(stack, port)}/api/v1/ad?limit=100") for port in PORTS)
    assert api.content == edge.content
    assert api.headers["x-catalog-version"] == edge.headers["x-catalog-version"]
    assert int(api.headers["x-catalog-version"]) >= int(answer.headers["x-catalog-version"])
    ads: list[dict[str, Any]] = api.json()["ads"]
    return ads


def test_create_on_the_public_path(stack, operator, empty_catalog):
    answer = operator.post("/api/v1/ad", json=ad_body(country=["TW"]))
    assert answer.status_code == 201
    assert set(answer.json()) == {"msg", "data"}
    assert answer.json()["msg"] == "Ad created"
    [ad] = served(stack, answer)
    assert ad["id"] == answer.json()["data"]
    assert str(ad["version"]) == answer.headers["x-catalog-version"]
    assert (ad["country"], ad["gender"], ad["age_start"], ad["age_end"]) == (["TW"], [], 0, 100)


def test_each_write_is_served_by_both_ports(stack, operator, empty_catalog):
    created = operator.post("/api/v1/ads/", json=ad_body(title="Created"))
    ad_id = created.json()["id"]
    path = f"/api/v1/ads/{ad_id}/"
    assert [ad["title"] for ad in served(stack, created)] == ["Created"]

    replaced = operator.put(path, json=ad_body(title="Replaced", age_end=50))
    assert [(ad["title"], ad["age_end"]) for ad in served(stack, replaced)] == [("Replaced", 50)]

    changed = operator.patch(path, json={"title": "Changed"})
    assert [(ad["title"], ad["age_end"]) for ad in served(stack, changed)] == [("Changed", 50)]

    imported = operator.post(
        "/api/v1/ads/import/", json=[ad_body(title=f"Row {n}") for n in (1, 2)]
    )
    assert {ad["title"] for ad in served(stack, imported)} == {"Changed", "Row 1", "Row 2"}

    deleted = operator.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert {ad["title"] for ad in served(stack, deleted)} == {"Row 1", "Row 2"}

    writes = [created, replaced, changed, imported, deleted]
    versions = [int(answer.headers["x-catalog-version"]) for answer in writes]
    first = versions[0]
    assert versions == [first, first + 1, first + 2, first + 4, first + 5]
    operations = [entry["operation"] for entry in operator.get(f"{path}history/").json()["results"]]
    assert operations == ["delete", "update", "update", "create"]


def test_import_of_csv(stack, operator, empty_catalog):
    text = (
        "title,content,start_at,end_at,country,platform\r\n"
        '"First, of CSV",,2026-01-01T00:00:00Z,2099-01-01T00:00:00Z,TW|JP,\r\n'
        "Second of CSV,x,2026-01-01 08:00:00 +0800 CST,2099-01-02T00:00:00Z,,ios web\r\n"
    )
    headers = {"content-type": "text/csv"}
    dry = operator.post("/api/v1/ads/import/?dry_run=true", content=text.encode(), headers=headers)
    assert (dry.status_code, dry.json()) == (200, {"rows": 2, "errors": []})
    answer = operator.post("/api/v1/ads/import/", content=text.encode(), headers=headers)
    assert (answer.status_code, answer.json()["created"]) == (201, 2)
    first, second = served(stack, answer)
    assert [first["id"], second["id"]] == answer.json()["ids"]
    assert (first["title"], first["country"]) == ("First, of CSV", ["TW", "JP"])
    assert (second["platform"], second["start_at"]) == (["ios", "web"], "2026-01-01T00:00:00Z")


def test_a_bad_row_stops_the_import(stack, operator, empty_catalog):
    rows = [ad_body(), ad_body(age_start=101), ad_body(), ad_body(title="x")]
    before = plain_http.get(f"{stack.url}/api/v1/ad").headers["x-catalog-version"]
    answer = operator.post("/api/v1/ads/import/", json=rows)
    assert (answer.status_code, answer.json()) == (
        400,
        {
            "msg": "rows: 2 of 4 are not valid, nothing was imported",
            "errors": [
                {"row": 2, "msg": "age_start: must be from 0 to 100"},
                {"row": 4, "msg": "title: must have 5 to 100 characters, not 1"},
            ],
        },
    )
    assert operator.get("/api/v1/ads/").json()["count"] == 0
    assert plain_http.get(f"{stack.url}/api/v1/ad").headers["x-catalog-version"] == before


def test_an_import_of_ten_thousand_rows_at_most(operator):
    rows = [ad_body(title=f"Row {n:05}") for n in range(10_001)]
    answer = operator.post("/api/v1/ads/import/?dry_run=true", json=rows)
    assert (answer.status_code, answer.json()) == (400, {"msg": "rows: at most 10000 at once"})
    answer = operator.post("/api/v1/ads/import/?dry_run=true", json=rows[1:])
    assert (answer.status_code, answer.json()) == (200, {"rows": 10_000, "errors": []})


@pytest.mark.parametrize("path", CREATES)
@pytest.mark.parametrize(("changes", "msg"), MISTAKES)
def test_each_mistake_is_named(operator, path, changes, msg):
    body = json.dumps(ad_body(**changes)).encode()
    headers = {"content-type": "application/json"}
    answer = operator.post(path, content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (400, {"msg": msg})
    assert "x-catalog-version" not in answer.headers


@pytest.mark.parametrize("field", ["title", "content", "start_at", "end_at"])
def test_each_required_field(operator, field):
    body = ad_body()
    del body[field]
    answer = operator.post("/api/v1/ad", json=body)
    assert (answer.status_code, answer.json()) == (400, {"msg": f"{field}: is required"})


@pytest.mark.parametrize(("method", "path"), OPERATOR_ENDPOINTS)
def test_without_credentials(stack, method, path):
    path = path.format(id="0192f0aa-0000-7000-8000-000000000001")
    for headers in ({}, {"authorization": "Token wrong"}):
        answer = plain_http.request(method, f"{stack.url}{path}", headers=headers)
        assert answer.status_code == 401
        assert answer.json()["msg"].startswith("authorization: ")
        assert answer.headers["www-authenticate"] == "Token"


def test_without_the_permission(stack):
    made = stack.manage("shell", "-c", _MAKE_READER)
    token = made.stdout.rpartition("token ")[2].strip()
    assert made.returncode == 0, made.stderr
    for method, path in OPERATOR_ENDPOINTS:
        url = stack.url + path.format(id="0192f0aa-0000-7000-8000-000000000001")
        answer = plain_http.request(
            method, url, headers={"authorization": f"Token {token}"}, json={}
        )
        assert answer.status_code == 403
        assert answer.json()["msg"].startswith("authorization: ")


def test_the_session_of_the_admin_writes_with_its_csrf_token(stack, empty_catalog):
    with plain_http.Client(base_url=stack.url, follow_redirects=True) as browser:
        browser.get("/admin/login/")
        form = {
            "username": stack.operator["username"],
            "password": stack.operator["password"],
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        assert browser.post("/admin/login/?next=/admin/", data=form).status_code == 200
        refused = browser.post("/api/v1/ad", json=ad_body())
        assert refused.status_code == 403
        assert refused.json()["msg"].startswith("csrf: ")
        headers = {"x-csrftoken": browser.cookies["csrftoken"]}
        answer = browser.post("/api/v1/ad", json=ad_body(), headers=headers)
        assert answer.status_code == 201
        [ad] = served(stack, answer)
        assert ad["id"] == answer.json()["data"]


def test_a_body_in_chunks(stack, operator, empty_catalog):
    data = json.dumps(ad_body()).encode()
    chunks = (data[at : at + 7] for at in range(0, len(data), 7))
    headers = {"content-type": "application/json"}
    answer = operator.post("/api/v1/ad", content=chunks, headers=headers)
    assert answer.status_code == 201, answer.text
    assert len(served(stack, answer)) == 1


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_client_that_waits_to_be_told_to_continue(stack, version):
    data = json.dumps(ad_body()).encode()
    head = (
        f"POST /api/v1/ad HTTP/{version}\r\nHost: localhost\r\n"
        f"Authorization: Token {stack.operator['token']}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n"
    )
    with socket.create_connection(("127.0.0.1", stack.port), timeout=20) as connection:
        reader = connection.makefile("rb")
        if version == "1.1":
            connection.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
            assert reader.readline().startswith(b"HTTP/1.1 100 ")
            assert reader.readline() == b"\r\n"
            connection.sendall(data)
        else:
            connection.sendall(f"{head}\r\n".encode() + data)
        assert b" 201 " in reader.readline()


def test_too_large_a_body(operator):
    answer = operator.post("/api/v1/ads/import/", content=b" " * (33_554_432 + 1))
    assert (answer.status_code, answer.json()["msg"].split(":")[0]) == (413, "body")


def test_lists_hold_what_was_written(operator, add):
    add(*(ad_body(title=f"Number {n}", country=["TW"] if n else []) for n in range(3)))
    page = operator.get("/api/v1/ads/?page_size=2&ordering=-created_at&country=TW").json()
    assert (page["count"], len(page["results"]), page["previous"]) == (3, 2, None)
    assert operator.get(page["next"]).json()["next"] is None
    assert operator.get("/api/v1/ads/?state=ended").json()["count"] == 0
    assert operator.get("/api/v1/ads/?country=JP").json()["count"] == 1
    refused = operator.get("/api/v1/ads/?page_size=1001")
    assert (refused.status_code, refused.json()) == (
        400,
        {"msg": "page_size: must be a whole number from 1 to 1000"},
    )


def test_a_write_while_the_database_is_dead(stack, operator, empty_catalog):
    served(stack, operator.post("/api/v1/ad", json=ad_body(title="Before")))
    server = psutil.Process(stack.pids["postgres"])
    family = [*server.children(recursive=True), server]
    for process in reversed(family):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=60)

    # It is started again at once, and a write may wait for it: refused and not there, or there.
    during = operator.post("/api/v1/ad", json=ad_body(title="During"))
    for port in PORTS:
        assert plain_http.get(f"{url_of(stack, port)}/api/v1/ad").json()["total"] >= 1
    titles = {"Before", "After"}
    if during.status_code == 201:
        titles.add("During")
    else:
        assert (during.status_code, during.json()) == (
            503,
            {"msg": "database: cannot be reached, nothing was accepted"},
        )
        assert int(during.headers["retry-after"]) >= 1

    def accepted() -> httpx.Response | None:
        answer = operator.post("/api/v1/ad", json=ad_body(title="After"))
        assert answer.status_code in (201, 503), answer.text
        return answer if answer.status_code == 201 else None

    again = wait_until(accepted, timeout_s=60, what="a database that accepts")
    assert {ad["title"] for ad in served(stack, again)} == titles
