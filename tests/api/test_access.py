"""Who may do what: 401 without credentials, 403 without the permission."""

import logging
import uuid

import pytest
from django.test import Client

from accounts.models import User
from adserver.models import Ad
from tests.api.bodies import ad_body

SOME_ID = uuid.UUID("0192f0aa-0000-7000-8000-000000000001")
OPERATOR_ENDPOINTS = [
    ("POST", "/api/v1/ad"),
    ("GET", "/api/v1/ads/"),
    ("POST", "/api/v1/ads/"),
    ("POST", "/api/v1/ads/import/"),
    ("GET", f"/api/v1/ads/{SOME_ID}/"),
    ("PUT", f"/api/v1/ads/{SOME_ID}/"),
    ("PATCH", f"/api/v1/ads/{SOME_ID}/"),
    ("DELETE", f"/api/v1/ads/{SOME_ID}/"),
    ("GET", f"/api/v1/ads/{SOME_ID}/history/"),
]
PERMISSION_OF = {
    "GET": "view_ad",
    "POST": "add_ad",
    "PUT": "change_ad",
    "PATCH": "change_ad",
    "DELETE": "delete_ad",
}


@pytest.mark.parametrize(("method", "path"), OPERATOR_ENDPOINTS)
@pytest.mark.parametrize(
    ("authorization", "msg"),
    [
        (None, "authorization: a token or a session is needed"),
        ("Token", "authorization: Invalid token header. No credentials provided."),
        ("Token a b", "authorization: Invalid token header."),
        ("Token 0123456789abcdef", "authorization: Invalid token."),
        ("Bearer 0123456789abcdef", "authorization: a token or a session is needed"),
    ],
)
def test_without_valid_credentials(anonymous, db, method, path, authorization, msg):
    headers = {"authorization": authorization} if authorization else {}
    answer = anonymous.generic(method, path, "{}", content_type="application/json", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["msg"].startswith(msg)
    assert answer["WWW-Authenticate"] == "Token"


def test_token_of_a_dismissed_operator(client_op, operator):
    operator.is_active = False
    operator.save()
    answer = client_op.get("/api/v1/ads/")
    assert (answer.status_code, answer.json()) == (
        401,
        {"msg": "authorization: User inactive or deleted."},
    )


@pytest.mark.parametrize(("method", "path"), OPERATOR_ENDPOINTS)
def test_without_the_permission(staff_with, method, path):
    others = set(PERMISSION_OF.values()) - {PERMISSION_OF[method]}
    answer = staff_with(*others).generic(method, path, "{}", content_type="application/json")
    assert answer.status_code == 403
    assert answer.json()["msg"].startswith("authorization: ")


@pytest.mark.parametrize(("method", "path"), OPERATOR_ENDPOINTS)
def test_permission_without_being_staff(staff_with, method, path):
    client = staff_with(*PERMISSION_OF.values(), is_staff=False)
    assert client.generic(method, path, "{}", content_type="application/json").status_code == 403


@pytest.mark.parametrize(("method", "path"), OPERATOR_ENDPOINTS)
def test_just_the_permission_is_enough(staff_with, method, path):
    client = staff_with(PERMISSION_OF[method])
    answer = client.generic(method, path, "{}", content_type="application/json")
    assert answer.status_code in (200, 400, 404)


def test_session_reads_and_writes_with_its_csrf_token(operator):
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    assert client.get("/api/v1/ads/").status_code == 200

    refused = client.post("/api/v1/ad", ad_body(), content_type="application/json")
    assert refused.status_code == 403
    assert refused.json()["msg"].startswith("csrf: ")
    assert not Ad.objects.exists()

    token = client.cookies["csrftoken"] = 32 * "a"
    accepted = client.post(
        "/api/v1/ad", ad_body(), content_type="application/json", headers={"x-csrftoken": token}
    )
    assert accepted.status_code == 201


def test_visitors_need_no_credentials_and_bad_ones_do_not_matter(anonymous, db):
    for headers in ({}, {"authorization": "Token nonsense"}, {"accept": "text/html"}):
        answer = anonymous.get("/api/v1/ad?age=0", headers=headers)
        assert (answer.status_code, answer.json()["msg"].split(":")[0]) == (400, "age")


def test_actor_of_a_write_is_the_operator(client_op, operator: User):
    ad_id = client_op.post("/api/v1/ad", ad_body(), content_type="application/json").json()["data"]
    entry = client_op.get(f"/api/v1/ads/{ad_id}/history/").json()["results"][0]
    assert entry["actor"] == operator.username


@pytest.mark.parametrize("path", ["/api/v1/ad", "/", "/healthz", "/api/v1/nothing"])
def test_who_is_logged_in_costs_no_query_where_nobody_must_know(
    operator, django_assert_num_queries, path
):
    client = Client(raise_request_exception=False)
    client.force_login(operator)
    with django_assert_num_queries(0):
        client.head(path)


def test_log_lines_name_the_user_who_had_to_be_known(client_op, operator, caplog):
    with caplog.at_level(logging.INFO):
        client_op.get("/api/v1/ads/")
    finished = [line.msg for line in caplog.records if line.msg["event"] == "request_finished"]
    assert [line["user_id"] for line in finished] == [operator.pk]
